import { diagnose } from '../../core/diagnostics.ts'
import type { Environment } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { TopicPartition } from '../../spec/log-reader.ts'
import type { Connection } from './connection.ts'
import { classify, explain, isStaleMetadata, protocolError } from './errors.ts'
import { type FetchedPartition, fetchRecords } from './fetch.ts'
import { type RecordSet, scanBatches } from './records.ts'
import type { StableEnd } from './stable-end.ts'

/** A partition as far as reading it goes. */
export interface ReadState extends TopicPartition {
  /** The next offset to ask for; `undefined` until it was sought. */
  offset: number | undefined
  /** The next offset that the front has not got: where reading goes on when what is queued is dropped. */
  delivered: number
  paused: boolean
  /** Counts places sought and pauses: an answer to a question from before is dropped. */
  turn: number
  /** Since when it could not be read. */
  failingSince: number | undefined
  readonly stable: StableEnd
}

export interface FetcherContext {
  readonly connection: Connection
  readonly environment: Environment
  /** Bytes that may be asked for now. */
  readonly room: () => number
  readonly maxBytes: number
  readonly timeout: number
  /** Ms of failures in a row after which they are told. */
  readonly patience: number
  /** Ms for which no transaction of ours may be open. */
  readonly longestTransaction: number
  readonly onRecords: (state: ReadState, set: RecordSet, highWatermark: number) => void
  /** One partition cannot be read on; it is silent until it is sought again. */
  readonly onPartitionFailed: (error: unknown) => void
  /** Reading fails for a long time, and is tried on. */
  readonly onPassing: (error: unknown) => void
  /** Reading has ended. */
  readonly onFailed: (error: unknown) => void
}

/** How long a broker may hold a fetch that finds nothing: what a new or resumed partition may have to wait for. */
const longestWait = 200
/** While partitions are being sought, one after the other, fetches are short. */
const shortestWait = 10
const settlingTime = 500
/** Bytes of one partition in an answer, so that many partitions share a fetch. */
const partitionBytes = 1_048_576

/**
 * Keeps at most one fetch under way per broker, for all its partitions that are wanted, while there is room. The next one
 * runs while the front works on the last.
 */
export class Fetcher {
  readonly #context: FetcherContext
  readonly #states = new Map<string, ReadState>()
  readonly #busy = new Map<number, number>()
  #refreshing = false
  #changed = -Infinity
  #reported = -Infinity
  #stopped = false

  constructor(context: FetcherContext) {
    this.#context = context
  }

  add(state: ReadState): void {
    this.changed()
    this.#states.set(keyOf(state), state)
  }

  remove(state: ReadState): void {
    state.turn++
    this.#states.delete(keyOf(state))
  }

  stop(): void {
    this.#stopped = true
    this.#states.clear()
  }

  /** Partitions are being added, sought or resumed. */
  changed(): void {
    this.#changed = this.#context.environment.monotonic()
  }

  /** Asks for more where there is something to ask for and room for it. */
  pump(): void {
    if (this.#stopped || this.#refreshing) return
    const { connection, maxBytes, room } = this.#context
    const reserved = [...this.#busy.values()].reduce((sum, bytes) => sum + bytes, 0)
    const free = room() - reserved
    // Small gaps are not worth a request.
    if (free < maxBytes / 4) return
    const leaderless: ReadState[] = []
    const byLeader = new Map<number, ReadState[]>()
    for (const state of this.#states.values()) {
      if (state.offset === undefined || state.paused) continue
      const leader = connection.leaderId(state.topic, state.partition)
      if (leader === undefined || leader < 0) {
        // Of a topic that is not known the metadata will tell.
        if (leader !== undefined) this.#failing(state, protocolError(leaderNotAvailable, 'reading'))
        leaderless.push(state)
        continue
      }
      if (this.#busy.has(leader)) continue
      const states = byLeader.get(leader)
      if (states) states.push(state)
      else byLeader.set(leader, [state])
    }
    const bytes = Math.max(1, Math.floor(Math.min(free / byLeader.size, maxBytes / 2)))
    for (const [leader, states] of byLeader) void this.#fetch(leader, states, bytes)
    if (leaderless.length > 0) this.#refresh()
  }

  async #fetch(leader: number, states: readonly ReadState[], maxBytes: number): Promise<void> {
    const { connection, environment, timeout } = this.#context
    this.#busy.set(leader, maxBytes)
    const asked = new Map(states.map(state => [keyOf(state), { state, turn: state.turn, from: state.offset! }]))
    try {
      const broker = await connection.broker(leader)
      const from = states.map(({ topic, partition, offset }) => ({ topic, partition, offset: offset! }))
      const options = {
        wait: environment.monotonic() - this.#changed < settlingTime ? shortestWait : longestWait,
        maxBytes,
        partitionBytes: Math.min(partitionBytes, maxBytes),
        readCommitted: true,
        timeout
      }
      const answers = await fetchRecords(connection, broker, from, options)
      this.#busy.delete(leader)
      if (this.#stopped) return
      let stale = false
      for (const answer of answers) {
        const question = asked.get(keyOf(answer))
        if (question && question.state.turn === question.turn && this.#take(question, answer)) stale = true
      }
      if (stale) this.#refresh()
      else this.pump()
    } catch (error) {
      this.#busy.delete(leader)
      if (this.#stopped) return
      if (!isStaleMetadata(error) && !classify(error).retryable)
        return this.#context.onFailed(explain(error, 'reading from a broker'))
      for (const state of states) this.#failing(state, error)
      this.#refresh()
    }
  }

  /** Reading that does not come back must be heard of, now and then; it is tried on all the same. */
  #failing(state: ReadState, error: unknown): void {
    const { environment, patience, onPassing } = this.#context
    const now = environment.monotonic()
    state.failingSince ??= now
    if (now - Math.max(state.failingSince, this.#reported) <= patience) return
    this.#reported = now
    onPassing(explain(error, `reading ${state.topic}/${state.partition}`))
  }

  /** True when the leader of the partition must be looked for. */
  #take({ state, from }: { readonly state: ReadState; readonly from: number }, answer: FetchedPartition): boolean {
    const { topic, partition, aborted, highWatermark } = answer
    if (answer.errorCode === outOfRange) {
      state.offset = undefined
      this.#context.onPartitionFailed(positionLost(topic, partition, from))
      return false
    }
    if (answer.errorCode !== 0) {
      const error = protocolError(answer.errorCode, `reading ${topic}/${partition}`)
      const passing = isStaleMetadata(error) || error.retryable
      if (passing) this.#failing(state, error)
      else this.#context.onFailed(error)
      return passing
    }
    state.failingSince = undefined
    const { end, next } = scanBatches(answer.bytes, from)
    if (next === from) {
      const { environment, longestTransaction } = this.#context
      const overdue = state.stable.overdue(answer, from, longestTransaction, environment.monotonic())
      if (overdue) diagnose('receive-retried', { topics: [topic], attempt: 1, error: overdue })
      return false
    }
    state.offset = next
    // Partitions that had something go to the end of the row, so that none starves the others.
    this.#states.delete(keyOf(state))
    this.#states.set(keyOf(state), state)
    const bytes = answer.bytes.subarray(0, end)
    this.#context.onRecords(state, { topic, partition, bytes, from, next, aborted }, highWatermark)
    return false
  }

  /** Leaders have moved or brokers are away: asks for the metadata, and goes on. */
  #refresh(): void {
    if (this.#refreshing || this.#stopped) return
    const { connection, environment } = this.#context
    this.#refreshing = true
    connection.forgetMetadata()
    const states = [...this.#states.values()].filter(({ offset }) => offset !== undefined)
    const goOn = (): void => {
      this.#refreshing = false
      this.pump()
    }
    connection.loadTopics([...new Set(states.map(({ topic }) => topic))]).then(
      () => environment.timer(20, goOn),
      (error: unknown) => {
        if (this.#stopped) return
        const missing = classify(error).code === 'unknown-topic'
        for (const state of states)
          if (!missing || connection.leaderId(state.topic, state.partition) === undefined) this.#failing(state, error)
        environment.timer(100, goOn)
      }
    )
  }
}

const leaderNotAvailable = 5
/** OFFSET_OUT_OF_RANGE */
const outOfRange = 1

export function positionLost(topic: string, partition: number, offset: number): StreamError {
  return new StreamError(
    'position-lost',
    `offset ${offset} of ${topic}/${partition} is not there (any more): seek to where reading shall go on`,
    { adapter: 'kafka' }
  )
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
