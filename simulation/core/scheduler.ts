import type { Random } from './random.ts'

/** Who an event belongs to: its events wait while it is stopped, and vanish when it is dead. */
export interface Owner {
  readonly alive: boolean
  /** Virtual ms until which nothing of it runs. */
  readonly stoppedUntil: number
}

export interface Scheduled {
  cancel(): void
}

interface Event {
  at: number
  order: number
  run: (() => void) | undefined
  readonly owner: Owner | undefined
}

/** The run took longer than any honest one. */
export class Endless extends Error {}

/**
 * Virtual time and the order of things: an event at a time, and after each of them all that follows from it without waiting
 * (the microtasks). Events of one moment run in an order that the seed decides.
 */
export class Scheduler {
  now: number = 0
  /** Events run so far. */
  events: number = 0
  readonly #random: Random
  readonly #heap: Event[] = []

  constructor(random: Random) {
    this.#random = random
  }

  after(delay: number, run: () => void, owner?: Owner): Scheduled {
    const event: Event = { at: this.now + Math.max(0, delay), order: this.#random.next(), run, owner }
    this.#push(event)
    return { cancel: () => void (event.run = undefined) }
  }

  /** Runs until `done`, or until nothing is left to happen: false then. Rejects with `Endless`. */
  async run(done: () => boolean, mostTime: number, mostEvents: number): Promise<boolean> {
    await microtasks()
    while (!done()) {
      const event = this.#pop()
      if (!event) return false
      const { run, owner } = event
      if (!run || owner?.alive === false) continue
      if (owner && owner.stoppedUntil > event.at) {
        event.at = owner.stoppedUntil
        event.order = this.#random.next()
        this.#push(event)
        continue
      }
      if (event.at > this.now) this.now = event.at
      if (this.now > mostTime) throw new Endless(`it was not done after ${Math.round(mostTime)} virtual ms`)
      if (++this.events > mostEvents) throw new Endless(`it was not done after ${mostEvents} events`)
      event.run = undefined
      run()
      await microtasks()
    }
    return true
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (top === undefined || top === last) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last!
    return top
  }
}

const before = (left: Event, right: Event): boolean =>
  left.at < right.at || (left.at === right.at && left.order < right.order)

/** Everything that follows from what has happened without any waiting. */
function microtasks(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
