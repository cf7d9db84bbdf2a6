/** Child processes of `scripts/run.mjs`: the repository's own Node, signals and exit codes passed on. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** A path in the repository. */
export const path = (...parts) => join(root, ...parts)

const windows = process.platform === 'win32'

/** Node 24, by the package `node`; its install script puts it there. */
export const ownNode = path('node_modules/node/bin', windows ? 'node.exe' : 'node')

/** A command that failed has said why: only its exit code is left to tell. */
export class Failed extends Error {
  constructor(code) {
    super(`exit code ${code}`)
    this.code = code
  }
}

/** Runs the whole thing; the process ends with its exit code. */
export async function run(body) {
  try {
    await body()
  } catch (error) {
    if (!(error instanceof Failed)) console.error(error instanceof Error ? error.message : error)
    process.exitCode = error instanceof Failed ? error.code : 1
  }
}

/** A file of the repository, with the repository's Node and in the caller's terminal. Rejects with `Failed`. */
export function node(file, ...args) {
  return finished(start(ownNode, [path(file), ...args], { stdio: 'inherit' }))
}

/** The command of an installed package. */
export function tool(name, command, ...args) {
  return finished(startTool(name, command, args, { stdio: 'inherit' }))
}

export function startTool(name, command, args, options) {
  const { bin } = JSON.parse(readFileSync(path('node_modules', name, 'package.json'), 'utf8'))
  return start(ownNode, [path('node_modules', name, typeof bin === 'string' ? bin : bin[command]), ...args], options)
}

export function start(program, args, options = {}) {
  const before = existsSync(ownNode) ? dirname(ownNode) + delimiter : ''
  const env = { ...process.env, PATH: before + path('node_modules/.bin') + delimiter + process.env.PATH }
  return spawn(program, args, { cwd: root, env, ...options })
}

/** Resolves when the child ended well, rejects with `Failed` when it did not. */
export function finished(child) {
  const forwarded = ['SIGTERM', 'SIGHUP', 'SIGINT']
  const sent = new Set()
  const forward = signal => {
    // A terminal sends Ctrl-C to every process of the command by itself; twice would mean "at once" to many programs. npm
    // sends on what it gets, too: the first of each counts.
    if (sent.has(signal) || (signal === 'SIGINT' && process.stdin.isTTY)) return
    sent.add(signal)
    child.kill(signal)
  }
  for (const signal of forwarded) process.on(signal, forward)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Failed(code ?? 128 + constants.signals[signal]))
    })
  }).finally(() => {
    for (const signal of forwarded) process.off(signal, forward)
  })
}
