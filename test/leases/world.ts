/**
 * The world around the lease protocol: a table, members that run the production state machine, their clocks, and fronts
 * that acquire, commit and let go. Every call to the table is a step of its own, which may be late, lost, or take effect
 * without an answer. What must never happen throws at once.
 */
import { newMember, stepLeases, type LeaseEffect, type LeaseEvent } from '../../src/exactly-once/lease-protocol.ts'
import type { LeaseState } from '../../src/exactly-once/lease-protocol.ts'
import { presence, type Lease } from '../../src/exactly-once/leases.ts'

export const session = 800
/** Time between two rounds of an undisturbed world, ms. */
export const pace = 50

/** Where a mutant departs from the protocol. */
export interface Rules {
  readonly step: typeof stepLeases
  /** The conditional write of the table. */
  takes(now: Lease | undefined, seen: Lease | undefined): boolean
  /** The epoch of a new owner. */
  raise(newest: number): number
  /** The conditional write of a commit. */
  commits(epoch: number, newest: number): boolean
}

export const rules: Rules = {
  step: stepLeases,
  takes: (now, seen) => now?.owner === seen?.owner && now?.beat === seen?.beat,
  raise: newest => newest + 1,
  commits: (epoch, newest) => epoch === newest
}

export type Fault = 'lose' | 'hide'

interface Life {
  epoch: number | undefined
  leaving: boolean
}

type Call = LeaseEffect | { readonly do: 'answer'; readonly rows: readonly Lease[]; readonly from: number }

export class Member {
  state: LeaseState
  /** The rest of the turn. */
  readonly calls: Call[] = []
  /** What the front works on. */
  readonly lives: Map<string, Life> = new Map<string, Life>()
  alive = true
  paused = false
  /** How far its clock is ahead of the world's; it was moved so many times. */
  ahead = 0
  jumps = 0

  constructor(state: LeaseState) {
    this.state = state
  }

  get name(): string {
    return this.state.me
  }

  /** Runs, and takes part. */
  get acts(): boolean {
    return this.alive && !this.paused
  }
}

export class World {
  readonly units: readonly string[]
  readonly members: Member[] = []
  readonly table: Map<string, Lease> = new Map<string, Lease>()
  readonly counts = { turns: 0, commits: 0, refused: 0, steals: 0, losses: 0, handOvers: 0, writes: 0 }
  now = 0
  /** Time in which a member that runs would have beaten: a standstill of all counts as one late look. */
  #awake = 0
  readonly #rules: Rules
  readonly #epochs = new Map<string, number>()
  readonly #committers = new Map<string, string>()
  readonly #committed = new Map<string, number>()
  /** When a row was last written by its owner, in waking time. */
  readonly #signs = new Map<string, number>()

  readonly #removed = new Set<string>()

  constructor(units: number, given: Rules = rules) {
    this.units = Array.from({ length: units }, (_, unit) => `unit-${unit}`)
    this.#rules = given
  }

  join(units: readonly string[] = this.units): Member {
    const member = new Member(newMember(`member-${this.members.length}`, session, units))
    member.ahead = 10_000 * this.members.length
    this.members.push(member)
    return member
  }

  close(member: Member): void {
    this.#dispatch(member, { type: 'close' })
    member.lives.clear() // the front has drained
  }

  kill(member: Member): void {
    member.alive = false
  }

  /** One call of its turn, or the start of the next one. */
  act(member: Member, fault?: Fault): void {
    if (!member.acts) return
    const call = member.calls.shift()
    if (call === undefined) {
      this.counts.turns++
      member.calls.push(...this.#dispatch(member, { type: 'due', now: this.#clock(member) }))
    } else if (call.do === 'tell') this.#tell(member, call.name, call.news)
    else if (call.do === 'answer') {
      const { rows, from } = call
      member.calls.push(...this.#dispatch(member, { type: 'looked', rows, from, to: this.#clock(member) }))
    } else {
      const then = fault === 'lose' ? undefined : this.#call(member, call)
      if (fault === undefined) then?.()
      else {
        // All calls that were sent with it come to their end, then the turn is over.
        const left = member.calls.splice(0).filter(({ do: what }) => what !== 'look' && what !== 'answer')
        member.calls.push(...left, ...this.#dispatch(member, { type: 'failed', now: this.#clock(member) }))
      }
    }
  }

  /** The front does something about one of its units. */
  work(member: Member, pick: number): void {
    if (!member.acts || member.lives.size === 0) return
    const [name, life] = [...member.lives][pick % member.lives.size]!
    const newest = this.#epochs.get(name) ?? 0
    if (life.leaving) {
      member.lives.delete(name)
      this.#dispatch(member, { type: 'let-go', name })
    } else if (life.epoch === undefined) {
      life.epoch = this.#rules.raise(newest)
      this.#epochs.set(name, life.epoch)
    } else if (!this.#rules.commits(life.epoch, newest)) {
      this.counts.refused++
      life.epoch = undefined // fenced: the next life of the task acquires again
    } else this.#commit(member, name, life.epoch)
  }

  /** To the end of its turn, or through a whole one. */
  turn(member: Member): void {
    if (!member.acts) return
    if (member.calls.length === 0) this.act(member)
    while (member.calls.length > 0) this.act(member)
  }

  /** Ends the turn it is in, then a whole one. */
  finish(member: Member): void {
    if (member.calls.length > 0) this.turn(member)
    this.turn(member)
  }

  /** Time in which nobody does anything: the host slept. */
  standstill(milliseconds: number): void {
    this.now += milliseconds
    this.#awake += Math.min(milliseconds, session / 4)
  }

  /** Time passes, and everybody who can does a turn and its work. */
  round(): void {
    this.now += pace
    this.#awake += pace
    for (const member of this.members) {
      this.turn(member)
      for (let unit = member.lives.size * 2; unit > 0; unit--) this.work(member, unit)
    }
  }

  get living(): Member[] {
    return this.members.filter(member => member.alive && !member.state.closed)
  }

  /** Unit -> owner by the table. */
  owners(): Map<string, string | undefined> {
    return new Map(this.units.map(name => [name, this.table.get(name)?.owner]))
  }

  /** Why it is not shared out evenly, and all at peace. */
  uneven(): string | undefined {
    const shares = this.living.map(({ lives }) => [...lives].filter(([, { leaving }]) => !leaving).length)
    const total = shares.reduce((sum, share) => sum + share, 0)
    if (total !== this.units.length || Math.max(...shares) - Math.min(...shares) > 1)
      return `shares ${shares.join(' ')}`
    for (const { name, lives, state } of this.living) {
      for (const unit of lives.keys())
        if (this.table.get(unit)?.owner !== name) return `${unit} of ${name} is ${this.table.get(unit)?.owner}'s`
      for (const [unit, phase] of state.leases) if (phase !== 'held') return `${unit} of ${name} is ${phase}`
    }
    return undefined
  }

  /** Why something may still move. */
  restless(): string | undefined {
    for (const { name, lives } of this.living)
      for (const [unit, { epoch }] of lives)
        if (epoch !== this.#epochs.get(unit)) return `${name} has ${unit} and cannot commit`
    const living = new Set(this.living.map(({ name }) => name))
    for (const { name, owner } of this.table.values())
      if (owner !== undefined && !living.has(owner)) return `${name} is still ${owner}'s`
    return this.living.some(({ state }) => state.unsettled) ? 'something is on its way' : this.uneven()
  }

  #clock(member: Member): number {
    return this.now + member.ahead
  }

  #dispatch(member: Member, event: LeaseEvent): readonly LeaseEffect[] {
    const [state, effects] = this.#rules.step(member.state, event)
    member.state = state
    return effects
  }

  /** Takes effect now; what it gives is the answer. */
  #call(member: Member, call: Exclude<LeaseEffect, { do: 'tell' }>): (() => void) | undefined {
    const { table } = this
    const me = member.name
    const from = this.#clock(member)
    if (call.do !== 'look') this.counts.writes++
    switch (call.do) {
      case 'look': {
        const rows = [...table.values()]
        return () => void member.calls.unshift({ do: 'answer', rows, from })
      }
      case 'beat':
        for (const row of table.values()) if (row.owner === me) this.#put({ ...row, beat: row.beat + 1 })
        return () => void this.#dispatch(member, { type: 'beaten', at: from })
      case 'take': {
        const row = table.get(call.name)
        if (!this.#rules.takes(row, call.seen)) return undefined
        if (row?.owner !== undefined && row.owner !== me) this.#assertSilent(member, row)
        this.#put({ name: call.name, owner: me, beat: (row?.beat ?? 0) + 1, wish: undefined })
        return () => {
          for (const effect of this.#dispatch(member, { type: 'took', name: call.name })) member.calls.unshift(effect)
        }
      }
      case 'ask': {
        const row = table.get(call.name)
        if (row?.owner !== undefined) table.set(call.name, { ...row, wish: me })
        return undefined
      }
      case 'free': {
        const row = table.get(call.name)
        if (row?.owner === me) {
          if (member.lives.has(call.name)) throw new Error(`${me} gives ${call.name} back and still works on it`)
          table.set(call.name, { ...row, owner: undefined, wish: undefined, beat: row.beat + 1 })
        }
        return () => void this.#dispatch(member, { type: 'freed', name: call.name })
      }
      case 'remove': {
        const row = table.get(call.seen.name)
        if (row?.owner !== call.seen.owner || row?.beat !== call.seen.beat) return undefined
        // The row of a member that has come back may be taken for the one that was removed, if their beats are equal. No
        // harm is done: it is there again with the next look, and nobody takes what its owner beats for.
        if (row.owner !== me && !this.#removed.has(row.name)) this.#assertSilent(member, row)
        this.#removed.add(row.name)
        table.delete(row.name)
        return undefined
      }
    }
  }

  #put(row: Lease): void {
    this.table.set(row.name, row)
    this.#signs.set(row.name, this.#awake)
  }

  /** Nobody who beats is robbed. A clock that jumps may make one look count for a quarter that did not pass. */
  #assertSilent(thief: Member, { name, owner }: Lease): void {
    const silent = this.#awake - (this.#signs.get(name) ?? 0)
    if (silent < session - (thief.jumps * session) / 4)
      throw new Error(`ROBBED: ${thief.name} took ${name} from ${owner} after ${silent} ms of silence`)
    if (name !== presence(owner ?? '')) this.counts.steals++
  }

  #tell(member: Member, name: string, news: 'taken' | 'asked' | 'lost'): void {
    const life = member.lives.get(name)
    if (news === 'taken') {
      if (life) throw new Error(`TWO LIVES: ${member.name} was given ${name}, which it has not let go of`)
      member.lives.set(name, { epoch: undefined, leaving: false })
      return
    }
    if (news === 'lost') this.counts.losses++
    else this.counts.handOvers++
    // One that closed, or let go by itself in this moment, needs not be told.
    if (life) life.leaving = true
  }

  #commit(member: Member, name: string, epoch: number): void {
    const key = `${name} ${epoch}`
    const owner = this.#committers.get(key) ?? member.name
    if (owner !== member.name) throw new Error(`DOUBLE OWNER: ${owner} and ${member.name} both commit for ${key}`)
    if (epoch < (this.#committed.get(name) ?? 0)) throw new Error(`WENT BACK: ${name} was committed at a newer epoch`)
    this.#committers.set(key, owner)
    this.#committed.set(name, epoch)
    this.counts.commits++
  }
}
