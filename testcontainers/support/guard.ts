/**
 * The process between us and a server. It starts the server, writes its log, says when it is ready, and ends it with
 * SIGKILL as soon as the channel to us closes. The kernel closes that channel however we die, so no server survives a
 * crashed test run. It is started by `guarded-process.ts` only, in a process group of its own: Ctrl-C reaches us alone.
 */
import { spawn } from 'node:child_process'
import { createWriteStream, rmSync } from 'node:fs'
import type { GuardMessage, GuardOrder } from './guarded-process.ts'

const TAIL = 8_192

const order = JSON.parse(process.argv[2] ?? '') as GuardOrder
const ready = new RegExp(order.ready)
const log = createWriteStream(order.logFile, { flags: 'a' })
let tail = ''
let announced = false
let orphaned = false

const child = spawn(order.command, order.args, {
  env: { ...process.env, ...order.environment },
  ...order.user,
  stdio: ['ignore', 'pipe', 'pipe']
})

if (child.pid !== undefined) tell({ type: 'started', pid: child.pid })

const read = (chunk: Buffer): void => {
  log.write(chunk)
  tail = (tail + chunk.toString('latin1')).slice(-TAIL)
  if (announced || !ready.test(tail)) return
  announced = true
  tell({ type: 'ready' })
}
child.stdout.on('data', read)
child.stderr.on('data', read)

child.once('error', error => end(null, null, `${tail}${error.message}`))
child.once('close', (code, signal) => end(code, signal, tail))

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill('SIGTERM'))

process.once('disconnect', () => {
  orphaned = true
  child.kill('SIGKILL')
})

function tell(message: GuardMessage): void {
  if (process.connected) process.send?.(message, () => {})
}

function end(code: number | null, signal: NodeJS.Signals | null, output: string): void {
  if (orphaned) {
    for (const path of order.removeWhenOrphaned) rmSync(path, { recursive: true, force: true })
    process.exit()
  }
  if (!process.connected) process.exit()
  process.send?.({ type: 'exited', code, signal, tail: output } satisfies GuardMessage, () => process.exit())
}
