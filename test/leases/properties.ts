import { expect } from 'vitest'
import { describe as picture, play, settle, type Script } from './script.ts'
import { rules, World, type Rules } from './world.ts'

/** Plays the script, then lets it come to rest. The world checks itself on the way. */
export function settledWorld(
  given: Script,
  changes: Partial<Rules> = {}
): { readonly world: World; readonly rounds: number } {
  const world = new World(given.units, { ...rules, ...changes })
  play(world, given)
  return { world, rounds: settle(world) }
}

/** A stable group moves nothing: it looks and beats. */
export function assertPeace(world: World): void {
  const owners = world.owners()
  const before = world.counts.handOvers + world.counts.losses + world.counts.steals
  for (let round = 0; round < 40; round++) {
    world.round()
    if (world.restless() !== undefined) throw new Error(`NO PEACE: ${world.restless()}\n${picture(world)}`)
  }
  expect(world.owners()).toEqual(owners)
  expect(world.counts.handOvers + world.counts.losses + world.counts.steals).toBe(before)
}

/** A member that leaves gives its units at once; within two looks of each the others have them, and only those move. */
export function assertLeaves(world: World): void {
  const [leaver] = world.living
  if (world.living.length < 2) return
  const before = world.owners()
  world.close(leaver!)
  world.finish(leaver!)
  for (const [, owner] of world.owners()) expect(owner).not.toBe(leaver!.name)
  for (let look = 0; look < 2; look++) for (const member of world.living) world.finish(member)
  expect(world.uneven()).toBe(undefined)
  for (const [unit, owner] of world.owners())
    if (before.get(unit) !== leaver!.name) expect(owner).toBe(before.get(unit))
}

/** A member that joins gets its share within four looks of each, and nothing else moves. */
export function assertJoins(world: World): void {
  const before = world.owners()
  const joiner = world.join()
  for (let round = 0; round < 4; round++) world.round()
  expect(world.uneven(), picture(world)).toBe(undefined)
  let moved = 0
  for (const [unit, owner] of world.owners()) {
    if (owner === before.get(unit)) continue
    expect(owner).toBe(joiner.name)
    moved++
  }
  expect(moved).toBe(Math.floor(world.units.length / world.living.length))
}
