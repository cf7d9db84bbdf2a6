import type { Environment } from '../../core/environment.ts'
import type { LogEvent, PartitionsRevoked, TopicPartition } from '../../spec/index.ts'
import type { Cursor } from './cursor.ts'
import type { Standing } from './group.ts'

interface Held {
  readonly cursors: readonly Cursor[]
  /** The front has been told of it: from then on it may seek and commit. */
  announced: boolean
  /** The front has been asked to give it up. */
  leaving: boolean
}

/** The units of one reader as its front knows them, and the events that bring the front to what the group says. */
export class Holdings {
  readonly #environment: Environment
  readonly #grace: number
  readonly #open: (unit: number) => readonly Cursor[]
  readonly #onRelease: () => void
  readonly #held = new Map<number, Held>()
  /** Given up by the front, not yet by the member. */
  readonly #released = new Set<number>()
  readonly #ends = new Set<() => void>()
  #losses: PartitionsRevoked[] = []

  /** `grace` is how long the front may take to give something up, ms; `open` makes the cursors of a unit. */
  constructor(
    environment: Environment,
    grace: number,
    open: (unit: number) => readonly Cursor[],
    onRelease: () => void
  ) {
    this.#environment = environment
    this.#grace = grace
    this.#open = open
    this.#onRelease = onRelease
  }

  get released(): readonly number[] {
    return [...this.#released]
  }

  /** What the group says after a beat that gave back `released`. */
  update({ held, unwanted }: Standing, released: readonly number[]): void {
    for (const unit of released) this.#released.delete(unit)
    this.#lose([...this.#held.keys()].filter(unit => !held.has(unit)))
    const asked: number[] = []
    for (const unit of held) {
      // Released since the beat began: the next one gives it back.
      if (this.#released.has(unit)) continue
      const known = this.#held.get(unit)
      if (!known && !unwanted.has(unit))
        this.#held.set(unit, { cursors: this.#open(unit), announced: false, leaving: false })
      else if (!known || (unwanted.has(unit) && !known.announced)) this.#release([unit])
      else if (unwanted.has(unit) && !known.leaving) asked.push(unit)
    }
    if (asked.length > 0) this.#ask(asked)
  }

  /** The member was put out of its group. */
  loseAll(): void {
    this.#lose([...this.#held.keys()])
    this.#released.clear()
  }

  /** The cursor of a partition that the front knows as its own. */
  cursor({ topic, partition }: TopicPartition): Cursor | undefined {
    const held = this.#held.get(partition)
    return held?.announced ? held.cursors.find(cursor => cursor.topic === topic) : undefined
  }

  readable(): Cursor[] {
    const cursors: Cursor[] = []
    for (const held of this.#held.values())
      if (!held.leaving) for (const cursor of held.cursors) if (!cursor.paused) cursors.push(cursor)
    return cursors
  }

  /** Losses first, so that what left and came back is told in that order. */
  takeEvents(): LogEvent[] {
    const events: LogEvent[] = this.#losses
    this.#losses = []
    const gained: TopicPartition[] = []
    for (const held of this.#held.values()) {
      if (held.announced) continue
      held.announced = true
      gained.push(...placesOf(held))
    }
    if (gained.length > 0) events.push({ kind: 'partitions-assigned', partitions: gained })
    return events
  }

  close(): void {
    for (const end of this.#ends) end()
    this.#held.clear()
  }

  #ask(units: readonly number[]): void {
    const asked = units.map(unit => [unit, this.#held.get(unit)!] as const)
    for (const [, held] of asked) {
      held.leaving = true
      for (const cursor of held.cursors) cursor.paused = true
    }
    const end = (): void => {
      timer.cancel()
      this.#ends.delete(end)
    }
    const release = (): void => {
      if (!this.#ends.has(end)) return
      end()
      // What was lost meanwhile, and perhaps came back, is not meant.
      this.#release(asked.flatMap(([unit, held]) => (this.#held.get(unit) === held ? unit : [])))
    }
    const timer = this.#environment.timer(this.#grace, release, true)
    this.#ends.add(end)
    const deadline = this.#environment.monotonic() + this.#grace
    const partitions = asked.flatMap(([, held]) => placesOf(held))
    this.#losses.push({ kind: 'partitions-revoked', partitions, deadline, release })
  }

  #release(units: readonly number[]): void {
    for (const unit of units) {
      this.#held.delete(unit)
      this.#released.add(unit)
    }
    if (units.length > 0) this.#onRelease()
  }

  #lose(units: readonly number[]): void {
    const partitions: TopicPartition[] = []
    for (const unit of units) {
      const held = this.#held.get(unit)!
      this.#held.delete(unit)
      // What is leaving the front is giving up already; its commit will be refused.
      if (held.announced && !held.leaving) partitions.push(...placesOf(held))
    }
    if (partitions.length > 0)
      this.#losses.push({ kind: 'partitions-revoked', partitions, deadline: 0, release: () => {} })
  }
}

function placesOf({ cursors }: Held): TopicPartition[] {
  return cursors.map(({ topic, partition }) => ({ topic, partition }))
}
