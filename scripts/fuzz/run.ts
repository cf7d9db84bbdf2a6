import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { StreamError } from '../../src/core/errors.ts'
import { noHeaders, type Headers } from '../../src/core/record.ts'
import { openFormats, type Format } from './formats.ts'
import { mutations, pick, randomFrom, type Random } from './mutate.ts'

export interface FuzzReport {
  readonly seed: number
  readonly runs: number
  readonly decoded: number
  /** By code: refused with a cause, which parks the record. */
  readonly parked: Readonly<Record<string, number>>
  /** Milliseconds of the slowest payload; what took long is tried again, and its processor time counts. */
  readonly slowest: number
  readonly slowestPayload: string
  /** Bytes that the heap, and the buffers beside it, hold more at the end than after a tenth of the runs. */
  readonly growth: number
  /** Errors that are none of ours: a crash in a service. */
  readonly crashes: readonly string[]
}

/** Spoils payloads of each format and has them decoded, as a consumer would: prepared, decoded, or parked with the cause. */
export async function fuzz(
  runs: number,
  seed: number,
  progress: (done: number) => void = () => {}
): Promise<FuzzReport> {
  const formats = await openFormats()
  const all = formats.flatMap(({ payloads }) => payloads)
  const names = Object.keys(mutations)
  const random = randomFrom(seed)
  const parked: Record<string, number> = {}
  const crashes: string[] = []
  let [decoded, slowest, slowestPayload, heapBefore] = [0, 0, '', 0]
  const warmUp = Math.ceil(runs / 10)
  for (let count = 0; count < runs; count++) {
    const format = pick(random, formats)
    const mutation = pick(random, names)
    let bytes = mutations[mutation]!(pick(random, format.payloads), random, all)
    // Now and then twice: what one spoils, the other may make look right again.
    if (random() < 0.2) bytes = mutations[pick(random, names)]!(bytes.length > 0 ? bytes : all[0]!, random, all)
    const headers = spoiledHeaders(format, random, all)
    const started = performance.now()
    const outcome = await attempt(format, bytes, headers)
    let took = performance.now() - started
    if (took > 5) {
      const again = threadTime()
      await attempt(format, bytes, headers)
      took = Math.min(took, threadTime() - again)
    }
    if (took > slowest && count > 1_000) {
      slowest = took
      slowestPayload = `${format.name}, ${mutation}, ${bytes.length} bytes: ${bytes.toString('hex', 0, 200)}`
    }
    if (outcome === 'decoded') decoded++
    else if (StreamError.is(outcome) && format.refusals.includes(outcome.code))
      parked[outcome.code] = (parked[outcome.code] ?? 0) + 1
    else if (crashes.length < 10)
      crashes.push(
        `${format.name}, ${mutation}: ${String((outcome as Error)?.stack ?? outcome)}\n${bytes.toString('hex', 0, 400)}`
      )
    if (count === warmUp) heapBefore = heap()
    if (count % 10_000 === 0) {
      progress(count)
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  return { seed, runs, decoded, parked, slowest, slowestPayload, growth: heap() - heapBefore, crashes }
}

/** Every third record has something wrong beside its payload. */
function spoiledHeaders({ headers }: Format, random: Random, all: readonly Buffer[]): Headers {
  if (!headers || random() > 0.33) return headers ?? noHeaders
  const spoil = mutations[pick(random, Object.keys(mutations))]!
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, spoil(Buffer.from(value), random, all)])
  )
}

async function attempt({ read }: Format, bytes: Buffer, headers: Headers): Promise<unknown> {
  try {
    await read(bytes, headers)
    return 'decoded'
  } catch (error) {
    return error
  }
}

/** Processor time of this thread, ms: what else the machine does is not in it. */
function threadTime(): number {
  const { user, system } = (process.threadCpuUsage ?? process.cpuUsage)()
  return (user + system) / 1e3
}

function heap(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
