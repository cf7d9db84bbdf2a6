import { sleep, uuidv7, type Environment } from '../core/environment.ts'
import { messageOf } from '../core/errors.ts'
import { noHeaders } from '../core/record.ts'
import type { AnyAdapter, PartitionReader } from '../spec/index.ts'
import { decodeVitalsMessage, encodeQuestion, vitalsTopic } from '../watermark/index.ts'
import type { Moment, WatchState } from './watch-state.ts'

/** Between two attempts at a broker that does not answer, ms. */
const pause = 500
/** A call that does not come back for so long means that the broker does not answer, ms. */
const hangsAfter = 5_000
/** A report is about 2 KiB; what is larger than this is none of ours. */
const largest = 1024 * 1024
/** How long a name of a task or topic may be. */
const longest = 1_000

export interface ReaderParts {
  readonly broker: string
  readonly environment: Environment
  readonly signal: AbortSignal
  readonly state: WatchState
  open(): Promise<AnyAdapter>
  /** The past has been read, or cannot be. */
  ready(): void
}

/**
 * Feeds the state from the vitals topic of one broker, until the signal fires. Whatever goes wrong is a fact for the state, and is
 * tried again: there is no error that ends a watch.
 */
export async function readVitals(parts: ReaderParts): Promise<void> {
  const { broker, environment, signal, state, ready } = parts
  const moment = (): Moment => ({ now: environment.now(), monotonic: environment.monotonic() })
  let adapter: AnyAdapter | undefined
  let reader: PartitionReader | undefined
  while (!signal.aborted) {
    try {
      adapter ??= await parts.open()
      reader = await openReader(adapter)
      if (adapter.capabilities.positions === 'none') await ask(adapter, environment)
      await readAll(parts, adapter, reader, moment)
    } catch (error) {
      if (!signal.aborted) state.reachable(broker, messageOf(error), moment())
      ready()
    }
    await within(environment, reader?.close())
    reader = undefined
    await sleep(environment, pause, signal).catch(() => {})
  }
  await within(environment, adapter?.close())
}

/** Rejects with what the broker said, or when the signal fires. */
async function readAll(
  { broker, environment, signal, state, ready }: ReaderParts,
  { capabilities }: AnyAdapter,
  reader: PartitionReader,
  moment: () => Moment
): Promise<void> {
  // A queue gives nothing of the past: what comes is new.
  let live = capabilities.positions === 'none'
  if (live) ready()
  for (;;) {
    const hanging = environment.timer(
      hangsAfter,
      () => state.reachable(broker, `no answer for ${hangsAfter / 1000} seconds`, moment()),
      true
    )
    const { records, atEnd } = await reader.receive({ wait: 500, signal }).finally(() => hanging.cancel())
    state.reachable(broker, undefined, moment())
    for (const { value } of records) if (value) take(state, value, broker, live, moment())
    if (!atEnd || live) continue
    live = true
    ready()
  }
}

function openReader(adapter: AnyAdapter): Promise<PartitionReader> {
  return adapter.partitionReader!({
    topic: vitalsTopic,
    partition: 0,
    from: 'earliest',
    readCommitted: false,
    maxBytes: largest
  })
}

function take(state: WatchState, value: Uint8Array, broker: string, live: boolean, moment: Moment): void {
  try {
    if (value.byteLength > largest) throw new Error('too large')
    const message = decodeVitalsMessage(value)
    if (message.kind === 'question') return
    for (const { vitals, age } of message.reports) {
      const names = [vitals.task, ...vitals.outputs.keys(), ...(vitals.inputs?.keys() ?? [])]
      if (names.some(name => name.length > longest)) throw new Error('a long name')
      state.heard({ vitals, broker, age, live }, moment)
    }
  } catch {
    state.malformed++ // of a newer release, or not ours: anybody may write there
  }
}

/** On a queue those who are there know what was said before: they are asked, and it does not matter much when they are not. */
async function ask(adapter: AnyAdapter, environment: Environment): Promise<void> {
  const producer = await adapter.producer()
  try {
    const value = encodeQuestion(uuidv7(environment))
    const timestamp = environment.now()
    await producer.send([
      { topic: vitalsTopic, partition: 0, key: null, value, headers: noHeaders, stamp: undefined, timestamp }
    ])
  } finally {
    await producer.close()
  }
}

/** Closing must not take longer than this, whatever the broker does. */
async function within(environment: Environment, closing: Promise<void> | undefined): Promise<void> {
  if (!closing) return
  let timer: { cancel(): void } | undefined
  const enough = new Promise<void>(resolve => (timer = environment.timer(1_000, resolve, true)))
  await Promise.race([closing.catch(() => {}), enough])
  timer?.cancel()
}
