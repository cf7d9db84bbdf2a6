/**
 * Shares `units` among the members, each as many as the others or one more. Sticky: a member keeps what it has up to its
 * share, so that a join or a leave moves no more than it must. `current[unit]` is who has it, if anyone.
 */
export function assign<Member>(
  units: number,
  members: readonly Member[],
  current: readonly (Member | undefined)[]
): (Member | undefined)[] {
  const target = new Array<Member | undefined>(units).fill(undefined)
  if (members.length === 0) return target
  const held = new Map<Member, number>(members.map(member => [member, 0]))
  for (const owner of current) if (owner !== undefined && held.has(owner)) held.set(owner, held.get(owner)! + 1)
  // Those who hold most get the shares that are one larger: fewer moves.
  const byHoldings = members.toSorted((left, right) => held.get(right)! - held.get(left)!)
  const room = new Map<Member, number>()
  byHoldings.forEach((member, index) =>
    room.set(member, Math.floor(units / members.length) + (index < units % members.length ? 1 : 0))
  )
  const give = (unit: number, member: Member): void => {
    target[unit] = member
    room.set(member, room.get(member)! - 1)
  }
  for (let unit = 0; unit < units; unit++) {
    const owner = current[unit]
    if (owner !== undefined && (room.get(owner) ?? 0) > 0) give(unit, owner)
  }
  let next = 0
  for (let unit = 0; unit < units; unit++) {
    if (target[unit] !== undefined) continue
    while (room.get(members[next]!) === 0) next++
    give(unit, members[next]!)
  }
  return target
}
