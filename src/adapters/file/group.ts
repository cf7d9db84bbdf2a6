import { assign } from '../../core/assignment.ts'
import type { FileConnection } from './client.ts'

interface MemberRow {
  readonly id: string
  readonly session: number
  readonly beat: number
}

interface UnitRow {
  readonly unit: number
  readonly member: string | null
  /** Since when its owner is asked to give it up, wall clock ms. */
  readonly wished: number | null
}

/** What one look at the group changed for a member. */
export interface Turn {
  /** It had been put out, and everything it held is lost. */
  readonly expired: boolean
  /** Held now, the wished ones included. */
  readonly owned: ReadonlySet<number>
  /** Of those, the ones to give up. */
  readonly wished: ReadonlySet<number>
  /** Something is still on its way: look again soon. */
  readonly unsettled: boolean
}

/**
 * One member of a group, without a coordinator: whoever looks does the work, in one transaction, and all compute the same
 * assignment from the same rows. A unit is a partition index over all topics, so co-partitioned ones stay together.
 * Wall clock is compared only between processes of one host; what counts is ownership, checked at every commit.
 */
export class GroupMember {
  readonly #connection: FileConnection
  readonly #group: string
  readonly #id: string
  readonly #session: number
  readonly #units: number
  #known = false

  constructor(connection: FileConnection, group: string, id: string, session: number, units: number) {
    this.#connection = connection
    this.#group = group
    this.#id = id
    this.#session = session
    this.#units = units
  }

  /** Counts changes of membership and ownership. */
  version(): number {
    return (this.#connection.sql.group.get(this.#group) as { version: number } | undefined)?.version ?? 0
  }

  /** A heartbeat: puts out the silent, shares out the units, claims what is ours and free. */
  look(): Turn {
    const { sql, environment } = this.#connection
    return this.#connection.transaction(() => {
      const now = environment.now()
      let changed = false
      const rows = sql.members.all(this.#group) as unknown as MemberRow[]
      for (const row of rows) {
        if (row.id === this.#id || row.beat + row.session >= now) continue
        sql.freeAll.run(this.#group, row.id)
        sql.leave.run(this.#group, row.id)
        changed = true
      }
      const present = rows.some(row => row.id === this.#id)
      const expired = this.#known && !present
      if (expired) sql.freeAll.run(this.#group, this.#id)
      sql.beat.run(this.#group, this.#id, this.#session, now)
      this.#known = true
      if (!present) {
        changed = true
        for (let unit = 0; unit < this.#units; unit++) sql.addUnit.run(this.#group, unit)
      }
      const members = (sql.members.all(this.#group) as unknown as MemberRow[]).map(row => row.id)
      const result = this.#share(members, now)
      if (changed || result.changed) sql.touch.run(this.#group)
      return { expired, owned: result.owned, wished: result.wished, unsettled: result.unsettled }
    })
  }

  /** Gives units up, if they are ours. */
  free(units: Iterable<number>): void {
    const { sql } = this.#connection
    this.#connection.transaction(() => {
      for (const unit of units) sql.free.run(this.#group, unit, this.#id)
      sql.touch.run(this.#group)
    })
    this.#connection.changed()
  }

  leave(): void {
    const { sql } = this.#connection
    this.#connection.transaction(() => {
      sql.freeAll.run(this.#group, this.#id)
      sql.leave.run(this.#group, this.#id)
      sql.touch.run(this.#group)
    })
    this.#connection.changed()
  }

  /** Within a transaction: is the unit ours? */
  owns(unit: number): boolean {
    const row = this.#connection.sql.owner.get(this.#group, unit) as { member: string | null } | undefined
    return row?.member === this.#id
  }

  #share(members: readonly string[], now: number): { owned: Set<number>; wished: Set<number>; unsettled: boolean; changed: boolean } {
    const { sql } = this.#connection
    const units = sql.units.all(this.#group) as unknown as UnitRow[]
    const target = assign(units.length, members, units.map(row => row.member ?? undefined))
    const owned = new Set<number>()
    const wished = new Set<number>()
    let unsettled = false
    let changed = false
    for (const [index, { unit, member, wished: since }] of units.entries()) {
      const wanted = target[index]
      // An owner that was asked and does not answer within a session has lost it.
      const overdue = since !== null && since + this.#session < now
      if (wanted === this.#id && (member === null || (member !== this.#id && overdue))) {
        sql.own.run(this.#id, this.#group, unit)
        owned.add(unit)
        changed = true
      } else if (member === this.#id) {
        owned.add(unit)
        if (wanted !== this.#id) wished.add(unit)
        if ((wanted !== this.#id) !== (since !== null)) {
          sql.wish.run(wanted === this.#id ? null : now, this.#group, unit)
          changed = true
        }
      } else if (wanted !== member) {
        if (member !== null && since === null) {
          sql.wish.run(now, this.#group, unit)
          changed = true
        }
        unsettled = true
      }
    }
    return { owned, wished, unsettled: unsettled || wished.size > 0, changed }
  }
}
