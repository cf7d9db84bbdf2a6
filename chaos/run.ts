import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { check, type Evidence, type Found } from './checker.ts'
import { Foreigner, loaded, rowsLoaded, stateOf } from './evidence.ts'
import { allowanceFile, splits, type Allowance, type Job } from './job.ts'
import { chain } from './pipeline.ts'
import { roll, type Rolled } from './rolling.ts'
import { brokers, stores } from './servers.ts'
import { storm, type Tally } from './storm.ts'
import { Workers } from './workers.ts'

export interface ChaosOptions {
  readonly backend: string
  /** Default: `broker` on Kafka, else `sqlite`. */
  readonly store?: string | undefined
  readonly kills: number
  /** In place of a storm: so often each worker is restarted, one after the other, under a steady load. */
  readonly rounds?: number | undefined
  /** Default 3. */
  readonly workers?: number | undefined
  readonly seed: number
  readonly tell?: (line: string) => void
  /** On Kafka: topics are read by Confluent's client for Python. */
  readonly python?: boolean | undefined
  /** The folder of the run stays: logs of the workers, the destination. */
  readonly keep?: boolean
}

export interface ChaosReport {
  readonly found: readonly Found[]
  readonly tally: Tally
  /** Of a rolling restart. */
  readonly rolled: Rolled | undefined
  /** One sentence with everything that counts. */
  readonly line: string
}

/** Entries of each split that the sources may be ahead of the destination. */
const lead = 300
/** Entries of each split in a second, in a rolling restart. */
const steady = 150
/** For the end of the pipeline, once nothing is in its way, ms. */
const patience = 180_000

/** One run: servers of its own, three workers, a storm, and the count of what came of it. */
export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const { backend, kills, seed } = options
  const storeName = options.store ?? (backend === 'kafka' ? 'broker' : 'sqlite')
  const started = performance.now()
  const elapsed = (): string => `${((performance.now() - started) / 1_000).toFixed(1)} s`
  const tell = (line: string): void => options.tell?.(`${elapsed()}: ${line}`)
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-chaos-'))
  const stop = new AbortController()
  let verdict: { found: Found[]; repeats: number; records: number; failures: number } | undefined
  let tally: Tally = { kills: 0 }
  let rolled: Rolled | undefined
  const { rounds, workers: workerCount = 3 } = options
  try {
    await using broker = await brokers[backend]!()
    await using store = await stores[storeName]!()
    // A graceful hand-over waits for no session to end: a long one would show that.
    const sessionTimeout = rounds !== undefined ? 10_000 : backend === 'kafka' ? 3_000 : 2_000
    const run = `${seed}-${process.pid}`
    const job: Job = { run, broker: broker.url, store: store.url, folder, sessionTimeout, noted: rounds !== undefined }
    const allow = allowing(folder)
    await allow({ entries: lead, final: false })
    await using foreigner = await Foreigner.open(broker.direct, job, options.python === true && backend === 'kafka')
    const found: Found[] = []
    let entries = lead
    let failures = 0
    {
      await using workers = new Workers(workerCount, job)
      const progress = (): number => rowsLoaded(folder)
      const began = performance.now()
      const feeding = (async () => {
        while (!stop.signal.aborted) {
          entries =
            rounds === undefined
              ? Math.max(entries, Math.ceil(progress() / splits.length) + lead)
              : lead + Math.floor(((performance.now() - began) / 1_000) * steady)
          await allow({ entries, final: false })
          await sleep(100)
        }
      })()
      try {
        const random = dice(seed)
        if (rounds !== undefined) rolled = await roll({ rounds, workers, folder, tell })
        else tally = await storm({ kills, sessionTimeout, random, broker, store, workers, progress, tell })
      } catch (error) {
        found.push({ anomaly: 'unseen', what: (error as Error).message })
      }
      stop.abort()
      await feeding
      await allow({ entries, final: true })
      tell(`the storm is over; ${entries * splits.length} moves in all`)
      if (!(await ended(workers))) found.push({ anomaly: 'unseen', what: `no end within ${patience / 1_000} s` })
      failures = workers.failures
    }
    const judged = check(await evidenceOf(job, { broker, store: store.direct, foreigner, entries }))
    if (rounds !== undefined && failures > 0)
      found.push({ anomaly: 'unseen', what: `${failures} workers failed, and nothing was disturbed` })
    verdict = { ...judged, found: [...found, ...judged.found], failures }
    if (verdict.found.length > 0) tell((await readFile(join(folder, 'workers.log'), 'utf8')).slice(-5_000))
  } finally {
    stop.abort()
    if (options.keep) tell(`kept: ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
  const seconds = Math.round((performance.now() - started) / 1_000)
  const line = `chaos ${backend}, commits in ${storeName}: ${rolled ? toldRolled(rolled, workerCount) : toldTally(tally)}; ${verdict.failures} workers failed; ${toldVerdict(verdict)}; seed ${seed}, ${seconds} s`
  return { found: verdict.found, tally, rolled, line }
}

async function evidenceOf(
  job: Job,
  run: {
    readonly broker: { readonly direct: string }
    readonly store: string
    readonly foreigner: Foreigner
    readonly entries: number
  }
): Promise<Evidence> {
  const { foreigner, entries } = run
  const { lines, echoes, totals } = chain(job)
  const { capabilities } = foreigner.adapter
  const moves = entries * splits.length
  return {
    entries,
    loaded: loaded(job.folder),
    topics: {
      lines: await foreigner.read(lines.name, moves),
      echoes: await foreigner.read(echoes.name, moves),
      totals: await foreigner.read(totals.name, moves)
    },
    // Kafka's relay sends in transactions, so that it is once there wherever tasks commit.
    onceForAll: capabilities.transactions,
    ordered: capabilities.positions === 'log',
    state: await stateOf(job, run.store, foreigner.adapter)
  }
}

/** The sources read it at any moment: it is replaced as a whole. */
function allowing(folder: string): (allowance: Allowance) => Promise<void> {
  return async allowance => {
    const path = join(folder, allowanceFile)
    await writeFile(`${path}.new`, JSON.stringify(allowance))
    await rename(`${path}.new`, path)
  }
}

async function ended(workers: Workers): Promise<boolean> {
  for (const until = performance.now() + patience; performance.now() < until; await sleep(100))
    if (workers.finished === workers.count) return true
  return false
}

function toldRolled({ restarts, pauses: [worst] }: Rolled, workers: number): string {
  return `${restarts} restarts of ${workers} workers, longest pause ${worst?.milliseconds} ms (${worst?.task})`
}

function toldTally({ kills, ...others }: Tally): string {
  const more = Object.entries(others).map(([kind, times]) => `${times} ${kind}`)
  return [`${kills} kills`, ...more].join(', ')
}

function toldVerdict({
  found,
  records,
  repeats
}: {
  readonly found: readonly Found[]
  readonly records: number
  readonly repeats: number
}): string {
  const count = (...names: Found['anomaly'][]): number => found.filter(({ anomaly }) => names.includes(anomaly)).length
  const lost = count('lost-write', 'unseen')
  const duplicated = count('duplicate')
  const torn = found.length - lost - duplicated
  return `${records} records, ${repeats} repeats on the topics: ${lost} lost, ${duplicated} duplicated, ${torn} torn`
}

/** Mulberry32: small, and the same everywhere. */
function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
