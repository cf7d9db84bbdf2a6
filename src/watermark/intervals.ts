/** Most sets are empty, and there is one for each producer and partition: those share it. Never written to. */
const none: number[] = []

/** A sorted set of whole numbers as closed intervals: what arrived ahead of a gap. Pure, small, JSON in and out. */
export class IntervalSet {
  /** Flat: start, end, start, end … */
  #bounds: number[]

  constructor(bounds: readonly number[] = []) {
    this.#bounds = bounds.length === 0 ? none : [...bounds]
  }

  get empty(): boolean {
    return this.#bounds.length === 0
  }

  /** The least number in it; `undefined` when there is none. */
  get first(): number | undefined {
    return this.#bounds[0]
  }

  /** How many numbers are in it. */
  get count(): number {
    const bounds = this.#bounds
    let count = 0
    for (let at = 0; at < bounds.length; at += 2) count += bounds[at + 1]! - bounds[at]! + 1
    return count
  }

  has(value: number): boolean {
    const at = this.#find(value)
    return at < this.#bounds.length && this.#bounds[at]! <= value
  }

  add(value: number): void {
    const bounds = this.#bounds
    // An array that grows takes room for sixteen more.
    if (bounds.length === 0) {
      this.#bounds = [value, value]
      return
    }
    const at = this.#find(value)
    if (at < bounds.length && bounds[at]! <= value) return
    const touchesLeft = at > 0 && bounds[at - 1] === value - 1
    const touchesRight = at < bounds.length && bounds[at] === value + 1
    if (touchesLeft && touchesRight) bounds.splice(at - 1, 2)
    else if (touchesLeft) bounds[at - 1] = value
    else if (touchesRight) bounds[at] = value
    else bounds.splice(at, 0, value, value)
  }

  /** Removes and returns the end of the interval that starts at `start`, else undefined. What lies before it is dropped. */
  takeFrom(start: number): number | undefined {
    const bounds = this.#bounds
    while (bounds.length > 0 && bounds[1]! < start) bounds.splice(0, 2)
    if (bounds.length === 0 || bounds[0]! > start) return undefined
    return bounds.splice(0, 2)[1]
  }

  toJSON(): readonly number[] {
    return this.#bounds
  }

  /** Index of the first interval whose end is at or above `value`. */
  #find(value: number): number {
    let low = 0
    let high = this.#bounds.length / 2
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#bounds[middle * 2 + 1]! < value) low = middle + 1
      else high = middle
    }
    return low * 2
  }
}
