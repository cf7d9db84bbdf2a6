#!/usr/bin/env node
/**
 * The command `tidemark`: thin, each command a file of its own over the public API.
 *
 * @module
 */
import { run } from './run.ts'

process.exitCode = await run(process.argv.slice(2), {
  out: line => console.log(line),
  error: line => console.error(line),
  variables: process.env
})
