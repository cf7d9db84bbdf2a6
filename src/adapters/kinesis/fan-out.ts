import { diagnose } from '../../core/diagnostics.ts'
import { sleep, unlessAborted } from '../../core/environment.ts'
import { messageOf } from '../../core/errors.ts'
import type { KinesisRecord } from './client.ts'
import type { Connection } from './connection.ts'
import type { Cursor, Edge } from './cursor.ts'
import { classify, kinesisError, nameOf } from './errors.ts'
import type { Streams } from './streams.ts'

/** Between two attempts to subscribe, ms: Kinesis keeps an old subscription for so long. */
const pause = 5_000

/** What is pushed: records, or what has gone wrong. */
interface PushedEvent {
  readonly SubscribeToShardEvent?: {
    readonly Records?: readonly KinesisRecord[]
    readonly MillisBehindLatest?: number
    readonly ChildShards?: readonly unknown[]
  }
}

/** The registered consumer of this process, made where it is not there: it stays, and so do its costs. */
export class FanOut {
  readonly connection: Connection
  readonly #streams: Streams
  readonly #name: string
  readonly #arns = new Map<string, Promise<string>>()

  constructor(streams: Streams, name: string) {
    this.connection = streams.connection
    this.#streams = streams
    this.#name = name
  }

  /** Begins at the place of the cursor. Lasts five minutes, or until the shard ends. */
  async subscribe(
    stream: string,
    shardId: string,
    cursor: Cursor,
    signal: AbortSignal
  ): Promise<AsyncIterable<PushedEvent>> {
    const { ShardIteratorType: Type, StartingSequenceNumber: SequenceNumber, Timestamp } = cursor.request()
    const input = {
      ConsumerARN: await this.#arn(stream),
      ShardId: shardId,
      StartingPosition: {
        Type,
        ...(SequenceNumber !== undefined && { SequenceNumber }),
        ...(Timestamp && { Timestamp })
      }
    }
    const { EventStream } = await this.connection.send('SubscribeToShard', input, signal)
    return EventStream
  }

  #arn(stream: string): Promise<string> {
    let arn = this.#arns.get(stream)
    if (!arn) {
      arn = this.#register(stream)
      arn.catch(() => this.#arns.delete(stream))
      this.#arns.set(stream, arn)
    }
    return arn
  }

  async #register(stream: string): Promise<string> {
    const { connection } = this
    const summary = await this.#streams.summary(stream)
    if (!summary) throw kinesisError('unknown-topic', `there is no stream '${stream}'`)
    const consumer = { StreamARN: summary.arn, ConsumerName: this.#name }
    await connection.request('RegisterStreamConsumer', consumer).catch((error: unknown) => {
      if (nameOf(error) !== 'ResourceInUseException') throw error
    })
    for (;;) {
      const { ConsumerDescription } = await connection.request('DescribeStreamConsumer', consumer)
      if (ConsumerDescription.ConsumerStatus === 'ACTIVE') return ConsumerDescription.ConsumerARN
      await sleep(connection.environment, 500)
    }
  }
}

export interface PushTarget {
  readonly stream: string
  readonly shardId: string
  /** Where a subscription should begin; `undefined` when nobody reads. */
  cursor(): Cursor | undefined
  /** `false`: nobody goes on from there, so that the subscription is of no use. */
  pushed(push: Push): boolean
  /** The shard may have ended: worth a look. */
  look(): void
  /** There is no subscription any more. */
  lost(): void
  /** Resolves when somebody can take more. */
  room(): Promise<void>
}

/** What came by a subscription. */
export interface Push {
  readonly records: readonly KinesisRecord[]
  readonly behind: number
  /** Where it goes on from; `undefined` when its place has no name yet. */
  readonly from: Edge | undefined
  /** The cursor that the subscription began at. */
  readonly begun: Cursor
}

/**
 * Keeps a subscription to one shard. What goes wrong with it is no failure: the shard is read by looking at it meanwhile, as
 * it is without fan-out.
 */
export async function keepSubscribed(fanOut: FanOut, target: PushTarget, signal: AbortSignal): Promise<void> {
  const { environment } = fanOut.connection
  for (let attempt = 1; !signal.aborted; attempt++) {
    const begun = target.cursor()
    if (!begun) return
    try {
      const { from } = begun
      const events = await fanOut.subscribe(target.stream, target.shardId, begun, signal)
      if (await pass(events, begun, from, target, signal)) attempt = 0
      else await sleep(environment, pause, signal)
    } catch (error) {
      if (signal.aborted) return
      if (classify(error).code === 'unknown-topic') return
      diagnose('receive-retried', { topics: [target.stream], attempt, error })
      target.lost()
      await sleep(environment, pause, signal).catch(() => {})
    }
  }
}

/** Until the subscription ends, or is of no use. True when something came. */
async function pass(
  events: AsyncIterable<PushedEvent>,
  begun: Cursor,
  start: Edge | undefined,
  target: PushTarget,
  signal: AbortSignal
): Promise<boolean> {
  const iterator = events[Symbol.asyncIterator]()
  let from = start
  try {
    for (let came = false; ; came = true) {
      const { done, value } = await unlessAborted(iterator.next(), signal)
      if (done === true) return came
      const { SubscribeToShardEvent: content } = value
      if (!content) throw failureIn(value)
      const { Records: records = [], MillisBehindLatest: behind = 0, ChildShards } = content
      if (!target.pushed({ records, behind, from, begun })) return came
      const last = records.at(-1)
      if (last) from = { sequence: last.SequenceNumber, inclusive: false }
      if ((ChildShards?.length ?? 0) > 0) target.look()
      await unlessAborted(target.room(), signal)
    }
  } finally {
    // Not waited for: it ends behind what is under way, and that may be nothing for a long time.
    void iterator.return?.()?.catch(() => {})
  }
}

/** An error that came in the stream of events, by its name. */
function failureIn(event: object): Error {
  const [name = 'nothing', error] = Object.entries(event)[0] ?? []
  if (error instanceof Error) return error
  return kinesisError('connection', `a subscription gave ${name}: ${messageOf(error)}`, true)
}
