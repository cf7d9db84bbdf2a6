import type { Environment, Timer } from '../core/environment.ts'
import { newMember, stepLeases, type LeaseEffect, type LeaseEvent, type LeaseState } from './lease-protocol.ts'
import type { LeaseStore } from './store.ts'

/** Whoever was told `taken` must call `release` once: after `asked`, after `lost`, or by itself. */
export interface LeaseListener {
  /** It is ours now. */
  taken(name: string): void
  /** Another worker should have it: drain, then `release`. */
  asked(name: string): void
  /** It is somebody else's already: drop it, then `release`. It may be taken again after that. */
  lost(name: string): void
  /** The store refuses what no waiting will mend. */
  failed(error: unknown): void
}

/** While leases change hands, and otherwise: how often the table is looked at, ms; more often when sessions are short. */
const busy = 50
const quiet = 250
const looksPerSession = 8

/**
 * One worker's part in sharing out leases: runs the state machine of `lease-protocol.ts` against a store, one turn after
 * the other. A hand-over takes one look of the owner, the drain, and one look of the next owner.
 */
export class LeaseGroup {
  readonly #store: LeaseStore
  readonly #environment: Environment
  readonly #scope: string
  readonly #listener: LeaseListener
  readonly #epochs = new Map<string, number>()
  #state: LeaseState
  #timer: Timer | undefined
  #turning: Promise<void> | undefined
  #next: Promise<void> | undefined

  /** @param id of this member in this life: never used again */
  constructor(
    store: LeaseStore,
    environment: Environment,
    scope: string,
    id: string,
    session: number,
    units: readonly string[],
    listener: LeaseListener
  ) {
    this.#store = store
    this.#environment = environment
    this.#scope = scope
    this.#listener = listener
    this.#state = newMember(id, session, units)
    this.#schedule(0)
  }

  /** As the store knows this member. */
  get owner(): string {
    return this.#state.me
  }

  holds(name: string): boolean {
    const phase = this.#state.leases.get(name)
    return phase === 'held' || phase === 'asked'
  }

  /** Of a lease that was taken: higher than that of every member that had it before. */
  epochOf(name: string): number | undefined {
    return this.#epochs.get(name)
  }

  /** There are other leases to share now. None: takes no part from now on, and keeps what it holds until it is released. */
  setUnits(units: readonly string[]): void {
    this.#dispatch({ type: 'units', units })
    if (!this.#state.closed) void this.#turn()
  }

  /** Drained: others may have it. Resolves when the store was told; when it is away, it is told again later. */
  async release(name: string): Promise<void> {
    this.#dispatch({ type: 'let-go', name })
    if (!this.#state.closed) await this.#turn()
  }

  /** Leaves, and gives everything back. Never rejects: what the store does not hear of expires. */
  async close(): Promise<void> {
    if (this.#state.closed) return this.#turning
    this.#dispatch({ type: 'close' })
    await this.#turn()
  }

  #schedule(delay: number): void {
    this.#timer = this.#environment.timer(delay, () => void this.#turn())
  }

  /** A turn that begins after now. */
  #turn(): Promise<void> {
    if (this.#turning)
      return (this.#next ??= this.#turning.then(() => {
        this.#next = undefined
        return this.#turn()
      }))
    this.#timer?.cancel()
    const turning = this.#work().then(delay => {
      this.#turning = undefined
      if (!this.#next && !this.#state.closed) this.#schedule(delay)
    })
    return (this.#turning = turning)
  }

  /** Says after how many ms the next turn is due. */
  async #work(): Promise<number> {
    const often = this.#state.session / looksPerSession
    try {
      const effects = this.#dispatch({ type: 'due', now: this.#environment.monotonic() })
      await this.#perform(effects.filter(effect => effect.do !== 'look'))
      await this.#look()
      return Math.min(this.#state.unsettled ? busy : quiet, often)
    } catch (error) {
      await this.#perform(this.#dispatch({ type: 'failed', now: this.#environment.monotonic() }))
      if (!this.#state.closed && (error as { retryable?: boolean } | null)?.retryable !== true)
        this.#listener.failed(error)
      return Math.min(quiet, often)
    }
  }

  async #look(): Promise<void> {
    const from = this.#environment.monotonic()
    const rows = await this.#store.leases(this.#scope)
    await this.#perform(this.#dispatch({ type: 'looked', rows, from, to: this.#environment.monotonic() }))
  }

  /** All at once, and all to their end; then throws the first error. */
  async #perform(effects: readonly LeaseEffect[]): Promise<void> {
    const results = await Promise.allSettled(effects.map(effect => this.#performOne(effect)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async #performOne(effect: LeaseEffect): Promise<void> {
    const { me } = this.#state
    switch (effect.do) {
      case 'tell':
        return this.#listener[effect.news](effect.name)
      case 'beat': {
        const at = this.#environment.monotonic()
        await this.#store.beat(this.#scope, me)
        this.#dispatch({ type: 'beaten', at })
        return
      }
      case 'take':
        if (!(await this.#store.take(this.#scope, effect.name, me, effect.seen))) return
        // A take counts the beat of its row up, as does every other change of it: no two owners share one.
        this.#epochs.set(effect.name, (effect.seen?.beat ?? 0) + 1)
        await this.#perform(this.#dispatch({ type: 'took', name: effect.name }))
        return
      case 'ask':
        return this.#store.ask(this.#scope, effect.name, me)
      case 'free':
        await this.#store.release(this.#scope, effect.name, me)
        this.#dispatch({ type: 'freed', name: effect.name })
        return
      case 'remove':
        return this.#store.remove(this.#scope, effect.seen.name, effect.seen)
      case 'look':
        return this.#look()
    }
  }

  #dispatch(event: LeaseEvent): readonly LeaseEffect[] {
    const [state, effects] = stepLeases(this.#state, event)
    this.#state = state
    return effects
  }
}
