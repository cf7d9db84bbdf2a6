import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { onStage } from './cell.ts'
import type { MemoryJob, MemoryReport } from './memory-worker.ts'

const program = fileURLToPath(new URL('./memory-worker.ts', import.meta.url))
const mebibyte = 1024 * 1024

export interface MemoryOptions {
  /** One whose server is a process of its own, or `file`. */
  readonly backend: string
  /** How long the source goes on, ms. */
  readonly duration: number
  /** Most memory of the process, all of it: bytes. Default 256 MiB. */
  readonly limit?: number
  readonly payload?: number
  /** From one burst to the next, ms. */
  readonly every?: number
  readonly tell?: (line: string) => void
}

export interface MemoryResult extends MemoryReport {
  readonly problems: readonly string[]
  /** Resident, bytes: the most that there ever was, and the medians of the second and of the last quarter of the time: flat from two minutes on. */
  readonly peak: number
  readonly early: number
  readonly late: number
  readonly line: string
}

/** Of the heap: what else a process needs (code, buffers, threads) is beside it. */
const heap = 64
/** What the late median may be above the early one. */
const flat = 16 * mebibyte
/** For what is left when the source has ended, ms: the last burst, and what a slow machine is behind. */
const patience = 180_000

/** Runs a pipeline in a process that is ended as soon as it is over the limit, and says how much it took. */
export function held(options: MemoryOptions): Promise<MemoryResult> {
  return onStage(options.backend, async ({ broker }) => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-memory-'))
    try {
      const { backend, duration, payload = 8_192, every = 20_000 } = options
      return await watch(options, {
        name: `${process.pid}-${Date.now().toString(36)}`,
        url: broker.direct,
        store: backend === 'kafka' ? undefined : `sqlite:${folder}/commits.db`,
        sessionTimeout: backend === 'kafka' ? 6_000 : 5_000,
        duration,
        every,
        payload
      })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
}

async function watch({ backend, limit = 256 * mebibyte, tell }: MemoryOptions, job: MemoryJob): Promise<MemoryResult> {
  const child = fork(program, [JSON.stringify(job)], {
    execArgv: ['--disable-warning=ExperimentalWarning', `--max-old-space-size=${heap}`, '--max-semi-space-size=4'],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc']
  })
  let errors = ''
  child.stderr!.on('data', (text: Buffer) => (errors = `${errors}${text.toString()}`.slice(-2_000)))
  let report: MemoryReport = { emitted: 0, collected: 0, wrong: 0, bursts: 0, burst: 0, sunk: 0, done: false }
  child.on('message', (news: MemoryReport) => (report = news))
  const closed = once(child, 'close')
  let isUp = true
  void closed.then(() => (isUp = false))
  const problems: string[] = []
  const samples: number[] = []
  let peak = 0
  const began = performance.now()
  let told = 0
  try {
    while (isUp) {
      const memory = await memoryOf(child.pid!)
      if (memory) {
        peak = Math.max(peak, memory.peak)
        // Once it works, and as long as there are bursts.
        if (report.collected > 0 && performance.now() - began < job.duration) samples.push(memory.now)
      }
      if (peak > limit) problems.push(`it took ${inMebibytes(peak)}, ${inMebibytes(limit)} are allowed`)
      if (performance.now() - began > job.duration + patience)
        problems.push(`not done ${patience / 1_000} s after the last burst: ${report.collected} of ${report.emitted}`)
      if (problems.length > 0) break
      if (performance.now() - told > 5_000) {
        told = performance.now()
        tell?.(
          `${report.collected} of ${report.emitted} records, ${inMebibytes(memory?.now ?? 0)} now, ${inMebibytes(peak)} at most`
        )
      }
      await Promise.race([sleep(100), closed])
    }
  } finally {
    if (isUp) child.kill('SIGKILL')
    await closed
  }
  if (problems.length === 0) {
    if (child.exitCode !== 0) problems.push(`it ended with code ${String(child.exitCode)}: ${errors.trim()}`)
    if (!report.done || report.collected !== report.emitted)
      problems.push(`${report.emitted - report.collected} of ${report.emitted} are not there`)
  }
  if (report.wrong > 0) problems.push(`${report.wrong} were not the next of their key`)
  const quarter = Math.floor(samples.length / 4)
  const early = median(samples.slice(quarter, 2 * quarter))
  const late = median(samples.slice(3 * quarter))
  // What is compiled while it warms up is no growth.
  if (job.duration >= 2 * 60_000 && late > early + flat)
    problems.push(`it grew from ${inMebibytes(early)} to ${inMebibytes(late)}`)
  const { emitted, wrong, bursts, burst, sunk } = report
  const seconds = Math.round((performance.now() - began) / 1_000)
  const line =
    `memory ${backend}: ${emitted} records of ${job.payload} bytes in ${bursts} bursts of ${Math.round(burst)}/s, sink ${Math.round(sunk)}/s, ` +
    `${emitted - report.collected} lost, ${wrong} wrong; resident ${inMebibytes(early)} early, ${inMebibytes(late)} late, ` +
    `${inMebibytes(peak)} at most of ${inMebibytes(limit)}; ${seconds} s`
  return { ...report, problems, peak, early, late, line }
}

/** Of a process on Linux, bytes. */
async function memoryOf(pid: number): Promise<{ readonly now: number; readonly peak: number } | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const read = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024
  const now = read('VmRSS')
  return now === 0 ? undefined : { now, peak: read('VmHWM') }
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
}

const inMebibytes = (bytes: number): string => `${Math.round(bytes / mebibyte)} MiB`
