/** One timed run. */
export interface Run {
  readonly records: number
  readonly seconds: number
  /** Processor time of this process, user and system, over the same span. */
  readonly cpuSeconds: number
}

/** The middle of several runs, and how far they lie apart. */
export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

export interface Figure {
  readonly name: string
  /** Records per second. */
  readonly rate: Spread
  /** Processor microseconds of this process per record. */
  readonly cpu: Spread
  /** Share of one processor that this process had, in percent: far below 100, the machine was busy with other things, or the run waited. */
  readonly busy: Spread
  readonly raw?: { readonly rate: Spread; readonly cpu: Spread }
  /** Ours over raw, of runs that followed each other. */
  readonly ratio?: Spread
  /** ms: how long the event loop was blocked (99th percentile), or what the figure says it times. */
  readonly delay?: Spread
  /** Where it stands on the axis of a series: at `value` partitions. */
  readonly at?: { readonly axis: string; readonly value: number } | undefined
  readonly records: number
  readonly runs: number
}

/** Something that is not a rate: bytes, shares, memory. */
export interface Amount {
  readonly name: string
  readonly amount: Spread
  readonly unit: string
  readonly records: number
}

export const rateOf = (run: Run): number => run.records / run.seconds
const cpuOf = (run: Run): number => (run.cpuSeconds / run.records) * 1e6
const busyOf = (run: Run): number => (run.cpuSeconds / run.seconds) * 100

/** A clock that is started at the first record and stopped at the last one. */
export class Clock {
  #started: { at: number; cpu: NodeJS.CpuUsage } | undefined
  #run: Run | undefined

  /** Does nothing when it runs already. */
  start(): void {
    this.#started ??= { at: performance.now(), cpu: process.cpuUsage() }
  }

  stop(records: number): void {
    if (!this.#started || this.#run) return
    const { user, system } = process.cpuUsage(this.#started.cpu)
    this.#run = { records, seconds: (performance.now() - this.#started.at) / 1e3, cpuSeconds: (user + system) / 1e6 }
  }

  get run(): Run {
    if (this.#run) return this.#run
    throw new Error('the clock was not stopped: the run did not come to its end')
  }
}

/** Runs `ours` alone. */
export async function alone(name: string, runs: number, ours: () => Promise<Run>): Promise<Figure> {
  const done: Run[] = []
  for (let turn = 1; turn <= runs; turn++) {
    const run = await ours()
    done.push(run)
    progress(`${name} ${turn}/${runs}: ${thousands(rateOf(run))}/s, ${busy(run)}`)
  }
  return {
    name,
    rate: spread(done.map(rateOf)),
    cpu: spread(done.map(cpuOf)),
    busy: spread(done.map(busyOf)),
    records: done[0]!.records,
    runs
  }
}

/**
 * Runs both by turns, A B A B: what slows the machine slows both, and the ratio of neighbours survives it. The order is
 * swapped from pair to pair, so that neither always comes second.
 */
export async function sideBySide(
  name: string,
  pairs: number,
  ours: () => Promise<Run>,
  raw: () => Promise<Run>
): Promise<Figure> {
  const ourRuns: Run[] = []
  const rawRuns: Run[] = []
  for (let turn = 1; turn <= pairs; turn++) {
    if (turn % 2 === 1) rawRuns.push(await raw())
    ourRuns.push(await ours())
    if (turn % 2 === 0) rawRuns.push(await raw())
    const [own, other] = [rateOf(ourRuns.at(-1)!), rateOf(rawRuns.at(-1)!)]
    progress(
      `${name} ${turn}/${pairs}: ours ${thousands(own)}/s, raw ${thousands(other)}/s, ratio ${(own / other).toFixed(2)}`
    )
  }
  return {
    name,
    rate: spread(ourRuns.map(rateOf)),
    cpu: spread(ourRuns.map(cpuOf)),
    busy: spread(ourRuns.map(busyOf)),
    raw: { rate: spread(rawRuns.map(rateOf)), cpu: spread(rawRuns.map(cpuOf)) },
    ratio: spread(ourRuns.map((run, index) => rateOf(run) / rateOf(rawRuns[index]!))),
    records: ourRuns[0]!.records,
    runs: pairs
  }
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = (sorted.length - 1) / 2
  return {
    median: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    least: sorted[0]!,
    most: sorted.at(-1)!
  }
}

/** A run that got less of a processor than it could use says more about the machine than about the code. */
function busy(run: Run): string {
  return `${cpuOf(run).toFixed(1)} us CPU each, ${Math.round(busyOf(run))}% busy`
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

const startedAt = performance.now()

/** A line on stderr, so that stdout holds the table alone. */
export function progress(line: string): void {
  console.error(`${((performance.now() - startedAt) / 1e3).toFixed(1).padStart(6)}s  ${line}`)
}
