import type { Random } from '../core/random.ts'

/** What comes in: an order of an account. */
export interface Order {
  readonly id: string
  readonly account: string
  /** Where it goes: the key of the second hop. */
  readonly item: string
  readonly amount: number
  /** Event time, ms. */
  readonly at: number
  /** The handler of the first hop fails on it, always. */
  readonly poison?: true
}

export interface Script {
  readonly splits: ReadonlyMap<string, readonly Order[]>
  readonly partitions: number
  /** How long the sources take to bring all of it, ms of virtual time, about. */
  readonly duration: number
  /** Bound of the disorder, ms. */
  readonly lateness: number
}

export const windowSize: number = 1_000
export const firstEvent: number = Date.UTC(2026, 0, 1)

/**
 * Orders of a run: a few accounts and items, event times with bounded disorder, now and then a poisonous one.
 *
 * @param small as few as make a run of all parts
 */
export function writeScript(random: Random, small = false): Script {
  const partitions = small ? 2 : 1 + random.below(4)
  const splits = new Map<string, Order[]>()
  const lateness = random.pick([0, 20, 200])
  const step = random.pick([5, 20, 60])
  const count = small ? 2 : 1 + random.below(3)
  for (let number = 0; number < count; number++) {
    const split = `split-${number}`
    const start = firstEvent + random.below(500)
    const orders = Array.from({ length: small ? 8 : random.pick([5, 20, 60]) }, (_, index): Order => {
      const disorder = Math.floor(random.next() * lateness)
      return {
        id: `${number}.${index}`,
        account: `account-${random.below(5)}`,
        item: `item-${random.below(6)}`,
        amount: 1 + random.below(100),
        at: start + index * step + lateness - disorder,
        ...(random.chance(small ? 0.05 : 0.01) && { poison: true as const })
      }
    })
    splits.set(split, orders)
  }
  return { splits, partitions, duration: small ? 500 : random.pick([500, 5_000, 20_000]), lateness }
}
