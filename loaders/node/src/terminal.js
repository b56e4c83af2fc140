// @ts-check
/** Ask a person questions on the terminal, without showing the answers that are secret. */

import { createInterface } from "node:readline";
import { Writable } from "node:stream";

import { notConfigured } from "./errors.js";

const INTERRUPTED = 130;

/**
 * Ask on the terminal of this process.
 * @param {string} question
 * @param {{ hidden?: boolean }} [options]
 * @returns {Promise<string>} without blanks around it
 * @throws {ConfigError} not_configured, without a terminal or an answer
 */
export async function askOnTerminal(question, { hidden = false } = {}) {
  if (!process.stdin.isTTY)
    throw notConfigured(
      "the login has questions, and there is no terminal to ask them on: run it in a terminal",
    );
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
      reader.once("close", () => reject(notConfigured("the login ended without an answer")));
      reader.once("line", (line) => resolve(line.trim()));
    });
  } finally {
    reader.close();
    if (hidden) process.stderr.write("\n");
  }
}
