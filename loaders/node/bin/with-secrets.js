#!/usr/bin/env node
// @ts-check
import { run } from "../src/run.js";

await run(process.argv.slice(2));
