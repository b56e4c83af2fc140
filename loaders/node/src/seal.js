// @ts-check
/**
 * Seal a text in a file, in a format that both languages share. A keystream of HMAC-SHA256 in
 * counter mode encrypts the text, and a tag of HMAC-SHA256 authenticates all of it. Both keys are
 * used for this text only. Python's standard library has no cipher, and a login must not need
 * another package.
 */

import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";

import { jsonObject } from "./json.js";

const VERSION = 1;
const NONCE_BYTES = 16;
const BLOCK = 32;

/**
 * Return the text of a file.
 * @param {string} text
 * @param {Buffer} key 32 bytes
 * @param {string} context the owner of the text, such as an address; it opens only with the same
 * @param {Buffer} [nonce] never the same twice
 */
export function sealText(text, key, context, nonce = randomBytes(NONCE_BYTES)) {
  const keys = deriveKeys(key, nonce);
  const hidden = mask(Buffer.from(text, "utf8"), keys.cipher);
  const sealed = Buffer.concat([hidden, tagOf(hidden, keys.tag, context, nonce)]);
  const [first, second] = [nonce, sealed].map((bytes) => bytes.toString("base64"));
  return `${JSON.stringify({ version: VERSION, nonce: first, sealed: second })}\n`;
}

/**
 * Return the text that `sealText` sealed; null for another key or context, or if it was altered.
 * @param {string} file
 * @param {Buffer} key
 * @param {string} context
 * @returns {string | null}
 */
export function openText(file, key, context) {
  const found = jsonObject(file);
  if (found?.version !== VERSION) return null;
  const nonce = Buffer.from(String(found.nonce), "base64");
  const sealed = Buffer.from(String(found.sealed), "base64");
  if (nonce.length !== NONCE_BYTES || sealed.length < BLOCK) return null;
  const keys = deriveKeys(key, nonce);
  const hidden = sealed.subarray(0, -BLOCK);
  if (!timingSafeEqual(sealed.subarray(-BLOCK), tagOf(hidden, keys.tag, context, nonce)))
    return null;
  return mask(hidden, keys.cipher).toString("utf8");
}

/**
 * @param {Buffer} key
 * @param {Buffer} nonce
 */
function deriveKeys(key, nonce) {
  const both = Buffer.from(hkdfSync("sha256", key, nonce, "infisical-config login 1", 2 * BLOCK));
  return { cipher: both.subarray(0, BLOCK), tag: both.subarray(BLOCK) };
}

/**
 * @param {Buffer} hidden
 * @param {Buffer} key
 * @param {string} context
 * @param {Buffer} nonce
 */
const tagOf = (hidden, key, context, nonce) =>
  createHmac("sha256", key)
    .update(`${VERSION}\n${context}\n`)
    .update(nonce)
    .update(hidden)
    .digest();

/**
 * @param {Buffer} bytes
 * @param {Buffer} key
 */
function mask(bytes, key) {
  const masked = Buffer.from(bytes);
  const counter = Buffer.alloc(8);
  for (let at = 0; at < masked.length; at += BLOCK) {
    counter.writeBigUInt64BE(BigInt(at / BLOCK));
    const stream = createHmac("sha256", key).update(counter).digest();
    for (let index = 0; index < BLOCK && at + index < masked.length; index += 1)
      masked[at + index] = Number(masked[at + index]) ^ Number(stream[index]);
  }
  return masked;
}
