import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { brokers, type Target } from '../chaos/servers.ts'
import type { Guarantee } from '../src/index.ts'
import type { Fault } from './faults.ts'
import type { Job } from './job.ts'
import { probeTimeout, Worker, type Look } from './worker-process.ts'

export interface Size {
  /** How long a fault lasts, ms. */
  readonly duration: number
  readonly stalledAfter: number
  readonly unreachableAfter: number
  /** Values a second. */
  readonly rate: number
}

export const sizes: Readonly<Record<'small' | 'full', Size>> = {
  small: { duration: 8_000, stalledAfter: 3_000, unreachableAfter: 3_000, rate: 200 },
  full: { duration: 30_000, stalledAfter: 10_000, unreachableAfter: 5_000, rate: 400 }
}

export interface Cell {
  readonly backend: string
  readonly fault: string
  readonly guarantee: Guarantee
  readonly result: 'pass' | 'fail' | 'not applicable'
  /** What is wrong, or why it cannot be shown. */
  readonly why?: string
  readonly values?: number
  /** From the end of the fault until everything was done and green, ms. */
  readonly recovery?: number
  /** From the begin of the fault until the first red look, ms. */
  readonly redAfter?: number | undefined
}

/** A broker for the cells of one backend. */
export interface Stage {
  readonly broker: Target
  readonly disk: string | undefined
}

/** Runs `call` with a broker of the backend, and takes everything down after it. */
export async function onStage<Result>(backend: string, call: (stage: Stage) => Promise<Result>): Promise<Result> {
  if (backend === 'memory') {
    const nothing = async (): Promise<void> => {}
    const broker: Target = {
      url: 'memory:faults',
      direct: 'memory:faults',
      proxy: undefined,
      crash: undefined,
      [Symbol.asyncDispose]: nothing
    }
    return call({ broker, disk: undefined })
  }
  const disk = backend === 'file' ? await smallDisk() : undefined
  try {
    await using broker = await brokers[backend]!(false)
    return await call({ broker, disk })
  } finally {
    if (disk) await unmount(disk)
  }
}

/** A disk of 96 MiB, or none where nobody may mount one. */
export async function smallDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-disk-'))
  try {
    await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', folder])
    return folder
  } catch {
    await rm(folder, { recursive: true, force: true })
    return undefined
  }
}

export async function unmount(folder: string): Promise<void> {
  await promisify(execFile)('umount', [folder])
  await rm(folder, { recursive: true, force: true })
}

let runs = 0

export async function runCell(
  { broker, disk }: Stage,
  backend: string,
  fault: Fault,
  guarantee: Guarantee,
  size: Size
): Promise<Cell> {
  const cell = { backend, fault: fault.name, guarantee }
  const impossible = fault.notHere({ backend, broker, disk })
  if (impossible !== undefined) return { ...cell, result: 'not applicable', why: impossible }
  await using guarded = await fault.server?.()
  const name = `${process.pid}-${++runs}`
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-fault-'))
  // On Kafka commits are its own transactions; elsewhere they are beside the data, on the disk that may be full.
  const data = fault.name === 'disk full' ? disk! : folder
  const store = backend === 'kafka' ? undefined : backend === 'memory' ? 'memory:' : `sqlite:${data}/commits-${name}.db`
  const job: Job = {
    name,
    url: backend === 'file' ? `file:${data}/${name}` : broker.url,
    store,
    variables: guarded?.variables ?? {},
    guarantee,
    duration: size.duration,
    stalledAfter: size.stalledAfter,
    unreachableAfter: size.unreachableAfter,
    sessionTimeout: backend === 'kafka' ? 6_000 : 5_000,
    batch: Math.max(1, size.rate / 20),
    payload: 0,
    slowSink: 0,
    ...fault.job?.(backend)
  }
  await using worker = new Worker(job, fault.heap, guarded?.env)
  const problems: string[] = []
  try {
    await untilReady(worker, 60_000)
    await untilBusy(worker, 30_000)
    await untilReady(worker, 30_000)
    // A cold start may take longer than the short limits of this run: what counts is a worker that was well.
    const well = performance.now()
    await sleep(1_000)
    const began = performance.now()
    const end = await fault.begin({ backend, broker, disk, worker, duration: size.duration, guarded })
    await sleep(size.duration)
    const over = performance.now()
    await end()
    const lifted = performance.now()
    worker.tell({ finish: true })
    // Twice the time-outs that it has to sit out, and what it takes to work off what has piled up.
    const allowed = 2 * Math.max(size.duration, job.sessionTimeout) + 10_000
    const progress = await untilDone(worker, lifted + allowed, fault.parked ?? 0)
    const recovery = Math.round(performance.now() - lifted)
    if (!progress) problems.push(worker.failure ?? 'it does not answer')
    else {
      if (progress.lost > 0)
        problems.push(
          `${progress.lost} of ${progress.emitted} are not there ${allowed} ms after the fault, the first is ${progress.firstLost}`
        )
      const { parked = 0 } = fault
      if (guarantee === 'exactly-once' ? progress.parked !== parked : progress.parked < parked)
        problems.push(`${progress.parked} were parked, it should be ${parked}`)
      if (guarantee === 'exactly-once' && progress.repeated > 0)
        problems.push(`${progress.repeated} were counted more than once`)
    }
    problems.push(...wrongHealth(fault, worker.looks, { well, began, over }, size))
    if (!worker.looks.at(-1)?.ready) problems.push(`still red: ${worker.looks.at(-1)?.causes.join(', ')}`)
    const code = await worker.stop(20_000)
    if (code !== 0) problems.push(worker.failure ?? `it had to be killed (${String(code)})`)
    const red = worker.looks.find(({ at, ready }) => at >= began && at <= lifted && !ready)
    return {
      ...cell,
      result: problems.length === 0 ? 'pass' : 'fail',
      ...(problems.length > 0 && { why: problems.join('; ') }),
      values: progress?.emitted ?? 0,
      recovery,
      redAfter: red && Math.round(red.at - began)
    }
  } catch (error) {
    return { ...cell, result: 'fail', why: `${(error as Error).message}${worker.failure ? `: ${worker.failure}` : ''}` }
  } finally {
    await rm(folder, { recursive: true, force: true })
    if (disk) await rm(join(disk, name), { recursive: true, force: true })
  }
}

async function untilReady(worker: Worker, timeout: number): Promise<void> {
  const deadline = performance.now() + timeout
  while (!worker.looks.at(-1)?.ready) {
    if (!worker.isUp) throw new Error('the worker has ended')
    if (performance.now() > deadline) throw new Error(`not ready within ${timeout} ms`)
    await sleep(50)
  }
}

async function untilBusy(worker: Worker, timeout: number): Promise<void> {
  const deadline = performance.now() + timeout
  while (((await worker.ask())?.collected ?? 0) < 50) {
    if (!worker.isUp) throw new Error('the worker has ended')
    if (performance.now() > deadline) throw new Error(`it got nothing done within ${timeout} ms`)
    await sleep(50)
  }
}

/** Everything that was emitted is collected, and the probe is green again. */
async function untilDone(
  worker: Worker,
  deadline: number,
  parked: number
): Promise<Awaited<ReturnType<Worker['ask']>>> {
  let last: Awaited<ReturnType<Worker['ask']>>
  // One more turn of the source may be under way.
  for (let settled = 0; worker.isUp;) {
    const progress = await worker.ask()
    const isDone =
      progress !== undefined && progress.lost === 0 && progress.parked >= parked && progress.emitted === last?.emitted
    last = progress ?? last
    settled = isDone && worker.looks.at(-1)?.ready ? settled + 1 : 0
    if (settled >= 2 || performance.now() > deadline) return last
    await sleep(200)
  }
  return last
}

interface Times {
  /** From here on it has to be green until the fault begins. */
  readonly well: number
  readonly began: number
  readonly over: number
}

/** A look sees what was true some time before: the limit, the second between two looks of the library, and the probe. */
const slack = 2_500

function wrongHealth(fault: Fault, looks: readonly Look[], { well, began, over }: Times, size: Size): string[] {
  // A probe that is asked near the end may be answered after it.
  const during = looks.filter(({ at }) => at >= began && at <= over - probeTimeout)
  const problems: string[] = []
  const early = looks.find(({ at, ready }) => at >= well && at < began && !ready)
  if (early) problems.push(`red before the fault: ${early.causes.join(', ')}`)
  if (fault.health === 'green') {
    // A machine that is too busy to answer says nothing of the worker.
    const red = during.find(({ ready, causes }) => !ready && !causes.includes('no answer'))
    if (red) problems.push(`red without need: ${red.causes.join(', ')}`)
  }
  if (fault.health === 'red') {
    const red = during.findIndex(({ ready }) => !ready)
    const limit = Math.max(size.stalledAfter, size.unreachableAfter) + slack
    if (red < 0) problems.push('green all the while')
    else if (during[red]!.at - began > limit)
      problems.push(`red only ${Math.round(during[red]!.at - began)} ms after its begin`)
    const gap = red < 0 ? undefined : during.slice(red).find(({ ready }) => ready)
    if (gap) problems.push(`green again ${Math.round(gap.at - began)} ms after its begin, while it lasted`)
  }
  return problems
}
