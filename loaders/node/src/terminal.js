// @ts-check
/** Ask a person questions on the terminal, without showing the answers that are secret. */

import { createInterface } from "node:readline";
import { Writable } from "node:stream";

import { notConfigured } from "./errors.js";

const INTERRUPTED = 130;

/** The message for a question without an answer. */
export const ENDED = "the login ended without an answer: start it again";

/**
 * Ask on the terminal of this process.
 * @param {string} question
 * @param {{ hidden?: boolean }} [options]
 * @returns {Promise<string>} without blanks around it
 * @throws {ConfigError} not_configured, without a terminal or an answer
 */
export async function askOnTerminal(question, { hidden = false } = {}) {
  if (!process.stdin.isTTY)
    throw notConfigured("the login asks questions, but there is no terminal: run it in a terminal");
  const silent = new Writable({
    write(chunk, _, done) {
      if (!hidden) process.stderr.write(chunk);
      done();
    },
  });
  const reader = createInterface({ input: process.stdin, output: silent, terminal: true });
  // The question is printed only now: before, the terminal itself would show an early answer.
  process.stderr.write(question);
  try {
    return await new Promise((resolve, reject) => {
      reader.once("SIGINT", () => {
        reader.close();
        process.stderr.write("\n");
        process.exit(INTERRUPTED);
      });
      reader.once("close", () => reject(notConfigured(ENDED)));
      reader.once("line", (line) => resolve(line.trim()));
    });
  } finally {
    reader.close();
    if (hidden) process.stderr.write("\n");
  }
}
