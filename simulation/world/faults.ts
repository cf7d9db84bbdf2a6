import type { Random } from '../core/random.ts'
import type { Scenario } from '../scenario.ts'
import type { World } from './world.ts'

/** What goes wrong, decided before the run begins: a run is its seed, and any fault of it can be left out. */
export interface Fault {
  readonly at: number
  readonly kind: FaultKind
  /** Which of those that are concerned: a share of them, in [0, 1). */
  readonly who: number
  /** How long or how far, in [0, 1): each kind makes of it what fits. */
  readonly much: number
}

/** How often each kind is among the faults of a run. */
const kinds = {
  'a machine dies': 3,
  'a machine stops for a while': 4,
  'a machine joins': 3,
  'a machine is told to stop': 1,
  'the broker is cut off': 3,
  'the store is cut off': 3,
  'the store is slow': 1,
  'the broker is slow': 1,
  'the groups lose a member': 3,
  'a clock jumps': 1,
  'a topic takes nothing': 1,
  'a service is down': 0
}

export type FaultKind = keyof typeof kinds

export function planFaults(
  random: Random,
  count: number,
  duration: number,
  weights: Partial<Record<FaultKind, number>>
): Fault[] {
  const bag = Object.entries({ ...kinds, ...weights }).flatMap(([kind, weight]) =>
    new Array<FaultKind>(weight).fill(kind as FaultKind)
  )
  return Array.from({ length: count }, () => ({
    at: random.between(0, duration),
    kind: random.pick(bag),
    who: random.next(),
    much: random.next()
  })).sort((left, right) => left.at - right.at)
}

/** Most sessions that a machine is stopped or cut off; most ms that a whole service is down. */
const longestPause = 3
const longestOutage = 120_000
const longestClosed = 60_000

export function inject(
  world: World,
  { services, topics, steady, constant }: Scenario,
  { kind, who, much }: Fault
): void {
  const { scheduler, broker, network, session } = world
  const machines = [...world.running.keys()]
  const machine = machines[Math.floor(who * machines.length)]
  world.story.tell(() => `FAULT ${kind} (${machine?.name ?? 'nobody'}, ${much.toFixed(3)})`)
  if (!machine) return
  const { name } = machine
  const { service } = world.running.get(machine)!
  const most = longestPause * session
  // Pauses that follow one another are one, and some have a right to take it for dead.
  const pause = /stops|broker is cut off/.test(kind) ? world.pause(machine, much ** 2 * most, most) : much ** 2 * most
  const leaves = kind === 'a machine dies' || kind === 'a machine is told to stop'
  if (service === steady && (leaves || /stops|cut off/.test(kind))) return
  if (service === constant && leaves && world.machinesOf(service) === 1) return
  const silence = (): void => {
    broker.faults.stopHeartbeats(name)
    scheduler.after(pause, () => broker.faults.resumeHeartbeats(name))
  }
  switch (kind) {
    case 'a machine dies':
      return machine.kill()
    case 'a machine stops for a while':
      machine.stop(pause)
      return silence()
    case 'a machine joins':
      if (world.machinesOf(service) < service.most) world.start(service)
      return
    case 'a machine is told to stop':
      return world.stop(machine)
    case 'the broker is cut off':
      network.cut(machine, 'broker', pause)
      return silence()
    case 'the store is cut off':
      return network.cut(machine, 'store', pause)
    case 'the store is slow':
      return network.slow('store', who * 5_000, pause)
    case 'the broker is slow':
      return network.slow('broker', who * 2_000, pause)
    case 'the groups lose a member':
      service.groups.forEach((group, index) => {
        if (Math.floor(much * 2 ** 20) & (1 << index)) broker.faults.kick(group, name)
      })
      return
    case 'a clock jumps':
      machine.skew += Math.round((much - 0.5) * 600_000)
      return
    case 'a topic takes nothing': {
      const topic = topics[Math.floor(who * topics.length)]!
      world.story.tell(() => `${topic} takes nothing for ${(much * longestClosed).toFixed()} ms`)
      return world.closed.close(topic, much * longestClosed)
    }
    case 'a service is down': {
      const down = services[Math.floor(who * services.length)]!
      for (const [each, running] of world.running) if (running.service === down) each.kill()
      scheduler.after(much * longestOutage, () => world.machinesOf(down) === 0 && world.start(down))
    }
  }
}
