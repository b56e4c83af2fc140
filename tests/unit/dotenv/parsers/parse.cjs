// Read files by a real parser: `node parse.cjs PROGRAM` takes a JSON list of files in base64, and
// prints a JSON list with the pairs of each, or the error.
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

function next(data) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "next-"));
  try {
    fs.writeFileSync(path.join(directory, ".env"), data);
    const failed = [];
    const log = { info: () => {}, error: (...messages) => failed.push(messages) };
    const { loadedEnvFiles } = require("@next/env").loadEnvConfig(directory, false, log, true);
    if (failed.length) throw new Error("Next.js ignores the file");
    return loadedEnvFiles.length ? loadedEnvFiles[0].env : {};
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

const programs = {
  dotenv: (data) => require("dotenv").parse(data),
  "dotenv-expand": (data) => {
    const parsed = require("dotenv").parse(data);
    return require("dotenv-expand").expand({ parsed, processEnv: { ...process.env } }).parsed;
  },
  next,
  node: (data) => require("node:util").parseEnv(data.toString()),
};

const read = programs[process.argv[2]];
const results = JSON.parse(fs.readFileSync(0, "utf8")).map((file) => {
  try {
    return Object.entries(read(Buffer.from(file, "base64")));
  } catch (error) {
    return { error: String(error) };
  }
});
process.stdout.write(JSON.stringify(results));
