import { assign } from '../../core/assignment.ts'
import { sleep, uuidv7 } from '../../core/environment.ts'
import type { FileConnection, TopicRow } from './client.ts'
import { fileError } from './errors.ts'

interface MemberRow {
  readonly id: string
  readonly topics: string
  readonly session: number
  readonly beat: number
}

/** What a member holds after a heartbeat. */
export interface Standing {
  /** Of the group, when this was so. */
  readonly version: number
  readonly held: ReadonlySet<number>
  /** Of those, the ones that others are to have. */
  readonly unwanted: ReadonlySet<number>
}

/** How often a newcomer looks whether the members in its way are alive, ms. */
const patience = 100

/**
 * One member of a group, without a coordinator: whoever beats does the work, in one transaction, and all compute the same
 * assignment from the same rows. Members that read the same topics share units; a unit is a partition index over all of
 * them, so co-partitioned topics stay together. A unit goes to another member only when its holder frees it, leaves, or is
 * silent for its session. Time decides only that; a commit looks up the holder in its own transaction.
 */
export class GroupMember {
  readonly id: string
  /** In the order of the options; those of the last `join`. */
  topics: readonly TopicRow[] = []
  readonly #connection: FileConnection
  readonly #group: string
  readonly #names: readonly string[]
  readonly #session: number
  #key = ''
  /** Both clocks at the last beat. */
  #lastBeat: { readonly now: number; readonly monotonic: number } | undefined
  /** Monotonic time until which nobody is put out, because the wall clock has jumped. */
  #graceUntil = -Infinity
  #gone = false

  constructor(connection: FileConnection, group: string, topics: readonly string[], session: number) {
    this.#connection = connection
    this.#group = group
    this.#names = [...new Set(topics)]
    this.#session = session
    this.id = uuidv7(connection.environment)
  }

  /** Throws `unknown-topic`; `bad-config` when a living member reads some of the topics and others, too. */
  async join(): Promise<void> {
    const { environment } = this.#connection
    const seen = new Map<string, number>()
    for (;;) {
      const rivals = await this.#connection.transaction(() => (this.#gone ? [] : this.#tryJoin()), { durable: false })
      if (rivals.length === 0) return
      // What is left of a crashed member ends with its session; one that beats is there to stay.
      for (const { id, beat, topics } of rivals) {
        const before = seen.get(id) ?? beat
        if (before !== beat) throw this.#mixed(topics)
        seen.set(id, beat)
      }
      await sleep(environment, patience)
    }
  }

  /** Counts changes of members and holdings. */
  version(): number {
    return (this.#connection.sql.group.get(this.#group) as { version: number } | undefined)?.version ?? 0
  }

  /**
   * A heartbeat: gives back what is released, puts out the silent, takes what is ours and free. `undefined` when this
   * member has been put out itself: it must join again. Not durable: no member outlives a power cut.
   */
  beat(released: readonly number[]): Promise<Standing | undefined> {
    const { sql, environment } = this.#connection
    return this.#connection.transaction(
      () => {
        for (const unit of released) sql.free.run(this.#group, this.#key, unit, this.id)
        const { changes } = sql.beat.run(environment.now(), this.#group, this.id)
        if (this.#putOutSilent() || released.length > 0) sql.touch.run(this.#group)
        return changes === 0 ? undefined : this.#share()
      },
      // A beat that is later than half a session is no use to anybody.
      { durable: false, wait: this.#session / 2 }
    )
  }

  /** Leaves at once, and does not come back. */
  async leave(): Promise<void> {
    const { sql } = this.#connection
    this.#gone = true
    await this.#connection.transaction(
      () => {
        this.#remove(this.id, this.#key)
        sql.touch.run(this.#group)
      },
      { durable: false, wait: this.#session / 2 }
    )
  }

  /** Within a transaction. */
  holds(unit: number): boolean {
    const row = this.#connection.sql.holder.get(this.#group, this.#key, unit) as { member: string | null } | undefined
    return row?.member === this.id
  }

  /** Returns the members that are in the way. */
  #tryJoin(): MemberRow[] {
    const { sql, environment } = this.#connection
    this.topics = this.#names.map(name => this.#connection.topic(name))
    const ids = this.topics.map(({ id }) => id).toSorted((left, right) => left - right)
    this.#key = JSON.stringify(ids)
    if (this.#putOutSilent()) sql.touch.run(this.#group)
    const rivals = this.#members().filter(
      ({ topics }) => topics !== this.#key && idsOf(topics).some(id => ids.includes(id))
    )
    if (rivals.length > 0) return rivals
    sql.join.run(this.#group, this.id, this.#key, this.#session, environment.now())
    const units = Math.max(...this.topics.map(({ partitions }) => partitions))
    for (let unit = 0; unit < units; unit++) sql.addHolding.run(this.#group, this.#key, unit)
    sql.touch.run(this.#group)
    return []
  }

  #share(): Standing {
    const { sql } = this.#connection
    const members = this.#members().flatMap(({ id, topics }) => (topics === this.#key ? id : []))
    const rows = sql.holdings.all(this.#group, this.#key) as unknown as { unit: number; member: string | null }[]
    const target = assign(
      rows.length,
      members,
      rows.map(({ member }) => member ?? undefined)
    )
    const held = new Set<number>()
    const unwanted = new Set<number>()
    for (const [index, { unit, member }] of rows.entries()) {
      const isMine = target[index] === this.id
      if (isMine && member === null) sql.take.run(this.id, this.#group, this.#key, unit)
      if (member === this.id || (isMine && member === null)) held.add(unit)
      if (member === this.id && !isMine) unwanted.add(unit)
    }
    return { version: this.version(), held, unwanted }
  }

  /** Removes the members that have been silent for a session. True when there was one. */
  #putOutSilent(): boolean {
    const { sql, environment } = this.#connection
    const now = environment.now()
    const monotonic = environment.monotonic()
    // The wall clock was set, or the host slept: all are late, and must get the time to say that they are there.
    if (this.#lastBeat && now - this.#lastBeat.now - (monotonic - this.#lastBeat.monotonic) > this.#session / 4)
      this.#graceUntil = monotonic + this.#session
    this.#lastBeat = { now, monotonic }
    let found = false
    for (const { id, topics, session, beat } of this.#members()) {
      if (id === this.id) continue
      // The clock was set back: the session counts from now on.
      if (beat > now) sql.beat.run(now, this.#group, id)
      if (beat + session >= now || monotonic < this.#graceUntil) continue
      this.#remove(id, topics)
      found = true
    }
    return found
  }

  #remove(id: string, topics: string): void {
    const { sql } = this.#connection
    sql.leave.run(this.#group, id)
    sql.freeAll.run(this.#group, id)
    if (!this.#members().some(member => member.topics === topics)) sql.dropHoldings.run(this.#group, topics)
  }

  #members(): MemberRow[] {
    return this.#connection.sql.members.all(this.#group) as unknown as MemberRow[]
  }

  #mixed(topics: string): Error {
    const names = this.#connection.snapshot(() =>
      (this.#connection.sql.topics.all() as unknown as TopicRow[]).flatMap(({ id, name }) =>
        idsOf(topics).includes(id) ? name : []
      )
    )
    const lists = `[${names.join(', ')}] and [${this.#names.join(', ')}]`
    return fileError(
      'bad-config',
      `members of group '${this.#group}' read ${lists}: partitions of one index could not stay together; give them one list, or two groups`
    )
  }
}

/** The topic ids of a member. */
export function idsOf(topics: string): readonly number[] {
  return JSON.parse(topics) as number[]
}
