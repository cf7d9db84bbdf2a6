import type { Environment, Timer } from '../core/environment.ts'
import { balance, observe, presence, type Lease, type Seen } from './leases.ts'
import type { LeaseStore } from './store.ts'

export interface LeaseListener {
  /** It is ours now. */
  taken(name: string): void
  /** Another worker should have it: drain, then `release`. */
  asked(name: string): void
  /** It is somebody else's already. */
  lost(name: string): void
  /** The store refuses what no waiting will mend. */
  failed(error: unknown): void
}

/** While leases change hands, and otherwise: how often the table is looked at, ms. */
const busy = 50
const quiet = 250

/** One worker's part in sharing out leases: presence, beats, and what `balance` decides, as conditional writes. */
export class LeaseGroup {
  readonly owner: string
  readonly #store: LeaseStore
  readonly #environment: Environment
  readonly #scope: string
  readonly #session: number
  readonly #listener: LeaseListener
  readonly #held = new Set<string>()
  readonly #leaving = new Set<string>()
  #units: readonly string[]
  #seen: ReadonlyMap<string, Seen> = new Map()
  #beatAt = -Infinity
  #timer: Timer | undefined
  #round: Promise<void> | undefined
  #closed = false

  constructor(
    store: LeaseStore,
    environment: Environment,
    scope: string,
    owner: string,
    session: number,
    units: readonly string[],
    listener: LeaseListener
  ) {
    this.#store = store
    this.#environment = environment
    this.#scope = scope
    this.owner = owner
    this.#session = session
    this.#units = units
    this.#listener = listener
    this.#schedule(0)
  }

  holds(name: string): boolean {
    return this.#held.has(name)
  }

  /** There are other leases to share now: new shards, finished splits. */
  setUnits(units: readonly string[]): void {
    this.#units = units
    this.#schedule(0)
  }

  /** Drained: others may have it. */
  async release(name: string): Promise<void> {
    this.#held.delete(name)
    await this.#store.release(this.#scope, name, this.owner)
    this.#leaving.delete(name)
    if (!this.#closed) this.#schedule(busy)
  }

  /** Gives everything back. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#round
    for (const name of [...this.#held, presence(this.owner)])
      await this.#store.release(this.#scope, name, this.owner).catch(() => {}) // it will expire
    this.#held.clear()
  }

  #schedule(delay: number): void {
    if (this.#closed) return
    this.#timer?.cancel()
    this.#timer = this.#environment.timer(delay, () => {
      if (this.#round || this.#closed) return
      this.#round = this.#turn()
        .catch(error => {
          // Unreachable for longer than a session: others have our leases by now.
          if (this.#environment.monotonic() - this.#beatAt > this.#session) this.#loseAll()
          if (!isTransient(error)) this.#listener.failed(error)
          return true
        })
        .then(unsettled => {
          this.#round = undefined
          this.#schedule(unsettled ? busy : quiet)
        })
    })
  }

  /** One look: beat, observe, decide, write. True when something is still on its way. */
  async #turn(): Promise<boolean> {
    const started = this.#environment.monotonic()
    if (started - this.#beatAt >= this.#session / 4 || this.#beatAt === -Infinity) await this.#beat(started)
    const rows = await this.#store.leases(this.#scope)
    const { seen, stale } = observe(this.#seen, rows, this.#environment.monotonic(), this.#session)
    this.#seen = seen
    const decision = balance(this.#units, rows, stale, this.owner)
    const byName = new Map(rows.map(row => [row.name, row]))
    for (const name of decision.clear) await this.#store.take(this.#scope, name, undefined, byName.get(name))
    for (const name of decision.take) if (!this.#leaving.has(name)) await this.#take(name, byName.get(name))
    for (const name of decision.ask) await this.#store.ask(this.#scope, name, this.owner)
    for (const name of decision.giveUp) this.#giveUp(name)
    return decision.unsettled
  }

  async #beat(now: number): Promise<void> {
    const still = new Set(await this.#store.beat(this.#scope, this.owner))
    this.#beatAt = now
    for (const name of this.#held) {
      if (still.has(name)) continue
      this.#held.delete(name)
      this.#leaving.delete(name)
      this.#listener.lost(name)
    }
    const here = presence(this.owner)
    if (still.has(here)) return
    const row = (await this.#store.leases(this.#scope)).find(candidate => candidate.name === here)
    await this.#store.take(this.#scope, here, this.owner, row)
  }

  async #take(name: string, row: Lease | undefined): Promise<void> {
    if (this.#held.has(name) || !(await this.#store.take(this.#scope, name, this.owner, row))) return
    this.#held.add(name)
    this.#listener.taken(name)
  }

  #giveUp(name: string): void {
    if (!this.#held.has(name) || this.#leaving.has(name)) return
    this.#leaving.add(name)
    this.#listener.asked(name)
  }

  #loseAll(): void {
    for (const name of [...this.#held]) {
      this.#held.delete(name)
      this.#leaving.delete(name)
      this.#listener.lost(name)
    }
  }
}

function isTransient(error: unknown): boolean {
  const errcode = (error as { errcode?: number } | null)?.errcode
  return (
    (error as { retryable?: boolean } | null)?.retryable === true ||
    (errcode !== undefined && [5, 6, 10].includes(errcode & 0xff))
  )
}
