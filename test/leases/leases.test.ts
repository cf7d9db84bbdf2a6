import { describe, expect, it } from 'vitest'
import { balance, memberId, observe, presence, type Lease, type Seen } from '../../src/exactly-once/leases.ts'
import { newMember, stepLeases, type LeaseEffect, type LeaseState } from '../../src/exactly-once/lease-protocol.ts'

const row = (name: string, owner: string | undefined, beat = 1, wish?: string): Lease => ({ name, owner, beat, wish })
const here = (...owners: string[]): Lease[] => owners.map(owner => row(presence(owner), owner))
const nothing = { stale: new Set<string>(), unclaimed: new Set<string>() }

/** Looks at the same rows again and again, and says after how many ms they counted as stale. */
function staleAfter(lease: Lease, every: number, session: number): number {
  let seen: ReadonlyMap<string, Seen> = new Map()
  for (let time = 0; time < 1_000_000; time += every) {
    const observation = observe(seen, [lease], [], time === 0 ? 0 : every, session, 'me')
    seen = observation.seen
    if (observation.stale.size > 0) return time
  }
  return Infinity
}

describe('observe', () => {
  it('takes a row for stale after the session of its owner, whatever its own is', () => {
    expect(staleAfter(row('0', memberId('b', 1_000)), 50, 1_000)).toBe(1_000)
    expect(staleAfter(row('0', memberId('b', 4_000)), 50, 1_000)).toBe(4_000)
    expect(staleAfter(row('0', memberId('b', 500)), 50, 30_000)).toBe(500)
    expect(staleAfter(row('0', 'somebody'), 50, 700)).toBe(700)
  })

  it('counts a quarter of the session for a look, however late it is', () => {
    expect(staleAfter(row('0', memberId('b', 1_000)), 60_000, 1_000)).toBe(4 * 60_000)
  })

  it('begins anew with every beat and every owner, and never watches itself', () => {
    const first = observe(new Map(), [row('0', 'b/100', 1)], [], 0, 100, 'me')
    const later = observe(first.seen, [row('0', 'b/100', 1)], [], 25, 100, 'me')
    expect(later.seen.get('0')!.still).toBe(25)
    expect(observe(later.seen, [row('0', 'b/100', 2)], [], 25, 100, 'me').seen.get('0')!.still).toBe(0)
    expect(observe(later.seen, [row('0', 'c/100', 1)], [], 25, 100, 'me').seen.get('0')!.still).toBe(0)
    expect(observe(new Map(), [row('0', 'me', 1)], [], 0, 100, 'me').seen.size).toBe(0)
  })

  it('does not go back when the clock does', () => {
    const first = observe(new Map(), [row('0', 'b/100', 1)], [], 0, 100, 'me')
    expect(observe(first.seen, [row('0', 'b/100', 1)], [], -5_000, 100, 'me').seen.get('0')!.still).toBe(0)
  })
})

describe('balance', () => {
  it('takes for a member who is one by its own row, not what is called like one', () => {
    // A user may name a split as he likes.
    const units = ['~a', '~b']
    const rows = [...here('me'), row('~a', 'me'), row('~b', 'me')]
    expect(balance(units, rows, nothing, 'me')).toMatchObject({ keep: units, ask: [], giveUp: [], unsettled: false })
  })

  it('waits for what somebody holds who is not in the table', () => {
    const rows = [...here('me'), row('0', 'ghost')]
    expect(balance(['0'], rows, nothing, 'me')).toMatchObject({ take: [], ask: [], unsettled: true })
    expect(balance(['0'], rows, { ...nothing, stale: new Set(['0']) }, 'me').take).toEqual(['0'])
  })

  it('takes more than its share of what nobody else takes', () => {
    const rows = [...here('me', 'other'), row('0', 'me'), row('1', undefined)]
    expect(balance(['0', '1'], rows, nothing, 'me').take).toEqual([])
    expect(balance(['0', '1'], rows, { ...nothing, unclaimed: new Set(['1']) }, 'me').take).toEqual(['1'])
  })

  it('asks once, and for what it needs', () => {
    const rows = [...here('me', 'other'), ...['0', '1', '2', '3'].map(name => row(name, 'other'))]
    const { ask } = balance(['0', '1', '2', '3'], rows, nothing, 'me')
    expect(ask.length).toBe(2)
    const asked = rows.map(lease => (ask.includes(lease.name) ? { ...lease, wish: 'me' } : lease))
    expect(balance(['0', '1', '2', '3'], asked, nothing, 'me').ask).toEqual([])
    expect(balance(['0', '1', '2', '3'], asked, nothing, 'other').giveUp).toEqual(ask)
  })

  it('gives nothing up to a wish that nobody has by rights', () => {
    const rows = [...here('me', 'other'), row('0', 'me', 1, 'other'), row('1', 'other')]
    expect(balance(['0', '1'], rows, nothing, 'me')).toMatchObject({ keep: ['0'], giveUp: [], unsettled: false })
  })
})

describe('a member', () => {
  const look = (state: LeaseState, rows: readonly Lease[], now = 0): readonly [LeaseState, readonly LeaseEffect[]] =>
    stepLeases(state, { type: 'looked', rows, from: now, to: now })
  const me = memberId('me', 100)
  const holding = (...names: string[]): LeaseState =>
    names.reduce((state, name) => stepLeases(state, { type: 'took', name })[0], newMember('me', 100, names))

  it('has its units once, in the order of all others', () => {
    expect(newMember('me', 100, ['b', 'a', 'b']).units).toEqual(['a', 'b'])
  })

  it('beats four times in a session', () => {
    let state = newMember('me', 100, ['0'])
    const beats = (now: number): boolean =>
      stepLeases(state, { type: 'due', now })[1].some(({ do: what }) => what === 'beat')
    expect(beats(0)).toBe(true)
    state = stepLeases(state, { type: 'beaten', at: 0 })[0]
    expect([24, 25].map(beats)).toEqual([false, true])
  })

  it('loses all when its beats have failed for a session, and waits until the front has let go', () => {
    let state = stepLeases(holding('0'), { type: 'beaten', at: 0 })[0]
    expect(stepLeases(state, { type: 'failed', now: 100 })[1]).toEqual([])
    const [lost, effects] = stepLeases(state, { type: 'failed', now: 101 })
    expect(effects).toEqual([{ do: 'tell', name: '0', news: 'lost' }])
    // The store is back, and the row has been ours all the time.
    const rows = [row(presence(me), me), row('0', me)]
    expect(look(lost, rows)[1]).toEqual([])
    state = stepLeases(lost, { type: 'let-go', name: '0' })[0]
    expect(look(state, rows)[1]).toEqual([{ do: 'take', name: '0', seen: rows[1] }])
  })

  it('gives back what it holds by the table, and neither knows nor wants', () => {
    const [, effects] = look(newMember('me', 100, ['0']), [row(presence(me), me), row('old', me)])
    expect(effects).toContainEqual({ do: 'free', name: 'old' })
  })

  it('tries again to give back what could not be given back', () => {
    const state = stepLeases(holding('0'), { type: 'let-go', name: '0' })[0]
    expect(stepLeases(state, { type: 'due', now: 0 })[1]).toContainEqual({ do: 'free', name: '0' })
    const failed = stepLeases(state, { type: 'failed', now: 0 })[0]
    expect(stepLeases(failed, { type: 'due', now: 0 })[1]).toContainEqual({ do: 'free', name: '0' })
    const freed = stepLeases(failed, { type: 'freed', name: '0' })[0]
    expect(freed.leases.size).toBe(0)
  })

  it('that takes no part any more is not counted by the others, and keeps what it has not released', () => {
    const [state] = stepLeases(holding('0', '1'), { type: 'units', units: [] })
    const rows = [row(presence(me), me), row('0', me), row('1', me)]
    const [next, effects] = look(state, rows)
    expect(effects).toEqual([{ do: 'remove', seen: rows[0] }])
    expect([...next.leases]).toEqual([
      ['0', 'held'],
      ['1', 'held']
    ])
  })

  it('that is closed gives all back with its own row, and what a late answer gives it', () => {
    const [closed] = stepLeases(holding('0', '1'), { type: 'close' })
    expect(stepLeases(closed, { type: 'due', now: 0 })[1]).toEqual([{ do: 'look' }])
    const [state, effects] = stepLeases(closed, { type: 'took', name: '2' })
    expect(effects).toEqual([])
    const rows = [row('0', me), row(presence(me), me), row('1', me), row('2', me), row('3', 'other')]
    expect(look(state, rows)[1]).toEqual([
      { do: 'remove', seen: rows[1] },
      ...['0', '1', '2'].map(name => ({ do: 'free', name }))
    ])
  })
})
