// Tokens that python-services accepts: both sign and check with the same JWT_SECRET.
import { SignJWT, jwtVerify } from "jose";

import { config } from "./config.js";

const key = new TextEncoder().encode(config.JWT_SECRET);

export const sign = (name) =>
  new SignJWT({}).setProtectedHeader({ alg: "HS256" }).setSubject(name).setExpirationTime("1h").sign(key);

// Returns the name in an Authorization header's token; undefined if this backend did not sign it.
export async function name(authorization = "") {
  try {
    const { payload } = await jwtVerify(authorization.replace(/^Bearer /, ""), key);
    return payload.sub;
  } catch {
    return undefined;
  }
}
