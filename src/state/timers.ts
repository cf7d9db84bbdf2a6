import type { StateRow } from './row.ts'

export interface TimerEntry {
  readonly time: number
  /** latin1 of the key bytes. */
  readonly key: string
  readonly name: string
}

/** The slot under which timers are stored with the state: timers are state. */
export const timerSlot = '~timers'

/**
 * Event-time timers of one task: a set (the same key, time and name twice is one timer) with a heap over it. Changes are
 * collected for the commit, and undone with the record that set them.
 */
export class TimerQueue {
  readonly #known = new Map<string, TimerEntry>()
  readonly #heap: TimerEntry[] = []
  /** id -> is it set (true) or gone (false) since the last commit. */
  readonly #changes = new Map<string, boolean>()
  readonly #undo: (() => void)[] = []

  get size(): number {
    return this.#known.size
  }

  begin(): void {
    if (this.#undo.length > 0) this.#undo.length = 0
  }

  rollback(): void {
    while (this.#undo.length > 0) this.#undo.pop()!()
  }

  set(entry: TimerEntry): void {
    const id = idOf(entry)
    if (this.#known.has(id)) return
    this.#remember(id, true)
    this.#known.set(id, entry)
    this.#push(entry)
  }

  cancel(entry: TimerEntry): void {
    const id = idOf(entry)
    if (!this.#known.has(id)) return
    this.#remember(id, false)
    this.#known.delete(id)
  }

  /** The earliest timer at or before `watermark`, without taking it. */
  due(watermark: number): TimerEntry | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.time > watermark) return undefined
      if (this.#known.get(idOf(first)) === first) return first
      this.#pop() // cancelled, or an older twin of one that was set again
    }
  }

  /** Keys of timers at or before `watermark`, that of the earliest among them, of at most `most` timers. */
  dueKeys(watermark: number, most: number): Set<string> {
    const keys = new Set<string>()
    const waiting = [0]
    // In a heap, what is due is connected to its top.
    for (let looked = 0; waiting.length > 0 && looked < most;) {
      const at = waiting.pop()!
      const entry = this.#heap[at]
      if (entry === undefined || entry.time > watermark) continue
      keys.add(entry.key)
      looked++
      waiting.push(at * 2 + 2, at * 2 + 1)
    }
    return keys
  }

  load(row: StateRow): void {
    const entry = parseId(row.key)
    if (row.value === null) {
      this.#known.delete(row.key)
      return
    }
    if (this.#known.has(row.key)) return
    this.#known.set(row.key, entry)
    this.#push(entry)
  }

  changes(): StateRow[] {
    const rows: StateRow[] = []
    for (const [id, set] of this.#changes) rows.push({ slot: timerSlot, key: id, value: set ? present : null })
    return rows
  }

  committed(): void {
    this.#changes.clear()
  }

  #remember(id: string, set: boolean): void {
    const entry = this.#known.get(id)
    const change = this.#changes.get(id)
    this.#undo.push(() => {
      if (entry) {
        this.#known.set(id, entry)
        this.#push(entry)
      } else this.#known.delete(id)
      if (change === undefined) this.#changes.delete(id)
      else this.#changes.set(id, change)
    })
    this.#changes.set(id, set)
  }

  #push(entry: TimerEntry): void {
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(entry, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

const present = new Uint8Array(0)

// Ties are broken by key and name, so that timers fire in one order on every backend (law 1).
function before(left: TimerEntry, right: TimerEntry): boolean {
  if (left.time !== right.time) return left.time < right.time
  if (left.key !== right.key) return left.key < right.key
  return left.name < right.name
}

function idOf(entry: TimerEntry): string {
  return `${entry.time}|${encodeURIComponent(entry.name)}|${entry.key}`
}

function parseId(id: string): TimerEntry {
  const first = id.indexOf('|')
  const second = id.indexOf('|', first + 1)
  const name = decodeURIComponent(id.slice(first + 1, second))
  return { time: Number(id.slice(0, first)), name, key: id.slice(second + 1) }
}
