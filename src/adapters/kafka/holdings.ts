import type { Environment, Timer } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { PartitionsAssigned, PartitionsRevoked, TopicPartition } from '../../spec/log-reader.ts'
import { keyOf, type ReadState } from './fetcher.ts'
import { StableEnd } from './stable-end.ts'

/** A partition that this member holds. */
export interface Holding extends ReadState {
  /** Said to be revoked; held, and open to commits, until it is released. */
  revoking: boolean
  /** Counts seeks: the last one wins. */
  sought: number
}

export interface HoldingsContext {
  readonly environment: Environment
  readonly group: string
  /** Ms that the front has to release what is revoked. */
  readonly patience: number
  readonly onHeld: (holding: Holding) => void
  /** No more records of these. */
  readonly onGone: (holdings: readonly Holding[]) => void
  readonly onEvent: (event: PartitionsAssigned | PartitionsRevoked) => void
  /** Something was released: the group shall hear of it. */
  readonly onReleased: () => void
}

/**
 * What a member of a group holds. The group says what it wants (`assign`); what it takes away is held on until the front has
 * released it or its time is up, so that the next owner starts behind the last commit of this one.
 */
export class Holdings {
  readonly #context: HoldingsContext
  readonly #held = new Map<string, Holding>()
  readonly #deadlines = new Set<Timer>()
  #assigned: readonly TopicPartition[] = []
  #closed = false

  constructor(context: HoldingsContext) {
    this.#context = context
  }

  all(): readonly Holding[] {
    return [...this.#held.values()]
  }

  find(place: TopicPartition): Holding | undefined {
    return this.#held.get(keyOf(place))
  }

  /** Throws `not-owner`. */
  need(place: TopicPartition, what: string): Holding {
    const holding = this.find(place)
    if (holding) return holding
    throw new StreamError(
      'not-owner',
      `${what} of ${keyOf(place)}: this member of group '${this.#context.group}' does not hold it`,
      { adapter: 'kafka' }
    )
  }

  /** The whole assignment of a new generation. */
  assign(partitions: readonly TopicPartition[]): void {
    this.#assigned = partitions
    const keys = new Set(partitions.map(keyOf))
    const gone = this.all().filter(holding => !holding.revoking && !keys.has(keyOf(holding)))
    if (gone.length > 0) this.#revoke(gone)
    this.#takeUp()
  }

  /** The group has gone on without this member. */
  lose(): void {
    const gone = this.all()
    this.#assigned = []
    this.#held.clear()
    this.#cancel()
    if (gone.length === 0) return
    this.#context.onGone(gone)
    this.#context.onEvent({
      kind: 'partitions-revoked',
      partitions: gone.map(placeOf),
      deadline: 0,
      release: () => undefined
    })
  }

  close(): void {
    this.#closed = true
    this.#cancel()
  }

  #takeUp(): void {
    const added = this.#assigned.filter(place => !this.find(place))
    if (added.length === 0) return
    for (const place of added) {
      const holding: Holding = { ...place, ...fresh() }
      this.#held.set(keyOf(place), holding)
      this.#context.onHeld(holding)
    }
    this.#context.onEvent({ kind: 'partitions-assigned', partitions: added })
  }

  #revoke(gone: readonly Holding[]): void {
    const { environment, patience, onGone, onEvent, onReleased } = this.#context
    for (const holding of gone) holding.revoking = true
    onGone(gone)
    let released = false
    const release = (): void => {
      if (released || this.#closed) return
      released = true
      timer.cancel()
      this.#deadlines.delete(timer)
      // They may have been lost in the meantime, and even come back.
      const still = gone.filter(holding => this.find(holding) === holding)
      if (still.length === 0) return
      for (const holding of still) this.#held.delete(keyOf(holding))
      this.#takeUp()
      onReleased()
    }
    const timer = environment.timer(patience, release)
    this.#deadlines.add(timer)
    onEvent({
      kind: 'partitions-revoked',
      partitions: gone.map(placeOf),
      deadline: environment.monotonic() + patience,
      release
    })
  }

  #cancel(): void {
    for (const timer of this.#deadlines) timer.cancel()
    this.#deadlines.clear()
  }
}

function fresh(): Omit<Holding, keyof TopicPartition> {
  return {
    offset: undefined,
    delivered: 0,
    paused: false,
    turn: 0,
    failingSince: undefined,
    stable: new StableEnd(),
    revoking: false,
    sought: 0
  }
}

function placeOf({ topic, partition }: TopicPartition): TopicPartition {
  return { topic, partition }
}
