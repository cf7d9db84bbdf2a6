import { describe, expect, it } from 'vitest'
import { sleep } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import { LeaseGroup, MemoryStore, type LeaseStore } from '../../src/exactly-once/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { dice, seeds } from '../pipeline/world.ts'

const session = 2_000
const units = (count: number): string[] => Array.from({ length: count }, (_, unit) => `u${unit}`)

/** A member whose front lets go after `drain` ms, and keeps a diary. */
class Worker {
  readonly works = new Set<string>()
  readonly diary: string[] = []
  readonly failures: unknown[] = []
  readonly group: LeaseGroup

  constructor(store: LeaseStore, environment: SimulatedEnvironment, name: string, drain = 0, names = units(8)) {
    const letGo = (unit: string): void => {
      environment.timer(drain, () => {
        this.works.delete(unit)
        void this.group.release(unit)
      })
    }
    this.group = new LeaseGroup(store, environment, 'scope', name, session, names, {
      taken: unit => {
        expect(this.works.has(unit), `${name} was given ${unit} twice`).toBe(false)
        this.works.add(unit)
        this.diary.push(`+${unit}`)
      },
      asked: unit => {
        this.diary.push(`-${unit}`)
        letGo(unit)
      },
      lost: unit => {
        this.diary.push(`lost ${unit}`)
        letGo(unit)
      },
      failed: error => this.failures.push(error)
    })
  }
}

const shares = (...workers: Worker[]): number[] => workers.map(({ works }) => works.size).sort()

/** A store that is away while told so, or whose calls fail by chance before or after their effect; slow, too. */
class Unsteady extends MemoryStore {
  away = false
  chance = 0
  error: Error = new StreamError('connection', 'away', { retryable: true })

  through(environment: SimulatedEnvironment, random: () => number): LeaseStore {
    const calls = ['leases', 'take', 'beat', 'ask', 'release', 'remove'] as const
    const wrap =
      (name: (typeof calls)[number]) =>
      async (...given: never[]) => {
        await sleep(environment, random() * 20)
        if (this.away || random() < this.chance) throw this.error
        const result: unknown = await (this[name] as (...all: never[]) => Promise<unknown>)(...given)
        await sleep(environment, random() * 20)
        if (random() < this.chance) throw this.error
        return result
      }
    return Object.fromEntries(calls.map(name => [name, wrap(name)])) as unknown as LeaseStore
  }
}

describe('a lease group', () => {
  it('hands over within a look of each and the drain, and no sooner than that', async () => {
    const environment = new SimulatedEnvironment()
    const store = new MemoryStore()
    const first = new Worker(store, environment, 'a', 300)
    await environment.advance(1_000)
    expect(first.works.size).toBe(8)
    const second = new Worker(store, environment, 'b')
    await environment.advance(300)
    expect(second.works.size).toBe(0)
    await environment.advance(300 + 50)
    expect(shares(first, second)).toEqual([4, 4])
    await environment.run(second.group.close())
    await environment.advance(250)
    expect(first.works.size).toBe(8)
    await environment.run(first.group.close())
    expect((await store.leases('scope')).filter(({ owner }) => owner !== undefined)).toEqual([])
  })

  it('leaves no row of a member behind, however it ended', async () => {
    const environment = new SimulatedEnvironment()
    const store = new MemoryStore()
    const stays = new Worker(store, environment, 'stays')
    for (let life = 0; life < 5; life++) {
      const worker = new Worker(store, environment, `life-${life}`)
      await environment.advance(1_000)
      // The last words of one that crashes are those that it has said.
      if (life % 2 === 0) await environment.run(worker.group.close())
      else await store.take('scope', `~dead-${life}/${session}`, `dead-${life}/${session}`, undefined)
    }
    await environment.advance(10_000)
    const members = (await store.leases('scope')).map(({ name }) => name).filter(name => name.startsWith('~'))
    expect(members.length).toBe(3)
    expect(members).toContain(`~${stays.group.owner}`)
  })

  it('goes on when the store is back, with all that it had', async () => {
    const environment = new SimulatedEnvironment()
    const store = new Unsteady()
    const worker = new Worker(store.through(environment, dice(1)), environment, 'a')
    await environment.advance(1_000)
    store.away = true
    await environment.advance(session / 2)
    expect(worker.works.size).toBe(8)
    await environment.advance(session)
    expect(worker.works.size).toBe(0)
    store.away = false
    await environment.advance(1_000)
    expect(worker.works.size).toBe(8)
    expect(worker.failures).toEqual([])
  })

  it('gives back what was released while the store was away', async () => {
    const environment = new SimulatedEnvironment()
    const store = new Unsteady()
    const names = units(2)
    const worker = new Worker(store.through(environment, dice(1)), environment, 'a', 0, names)
    await environment.advance(500)
    store.away = true
    worker.group.setUnits(['u0'])
    worker.works.delete('u1')
    await environment.run(worker.group.release('u1'))
    expect((await store.leases('scope')).find(({ name }) => name === 'u1')?.owner).toBe(worker.group.owner)
    store.away = false
    await environment.advance(500)
    expect((await store.leases('scope')).find(({ name }) => name === 'u1')?.owner).toBe(undefined)
    expect([...worker.works]).toEqual(['u0'])
  })

  it('tells what no waiting will mend', async () => {
    const environment = new SimulatedEnvironment()
    const store = new Unsteady()
    const worker = new Worker(store.through(environment, dice(1)), environment, 'a')
    await environment.advance(500)
    store.error = new StreamError('corrupt', 'no database')
    store.away = true
    await environment.advance(300)
    expect(worker.failures[0]).toMatchObject({ code: 'corrupt' })
  })

  it('asks nothing of the store once it is closed, and closes while the store is away', async () => {
    const environment = new SimulatedEnvironment()
    const store = new Unsteady()
    const worker = new Worker(store.through(environment, dice(1)), environment, 'a')
    await environment.advance(500)
    store.away = true
    await environment.run(worker.group.close())
    await environment.run(worker.group.close())
    store.away = false
    const before = await store.leases('scope')
    await environment.run(worker.group.release('u0'))
    worker.group.setUnits(units(3))
    await environment.advance(5_000)
    expect(await store.leases('scope')).toEqual(before)
  })

  it('counts for nothing where it has no units: the others take what it drains, one by one', async () => {
    const environment = new SimulatedEnvironment()
    const store = new MemoryStore()
    const [one, two] = [new Worker(store, environment, 'a'), new Worker(store, environment, 'b')]
    await environment.advance(1_000)
    const [unit] = [...one.works]
    one.group.setUnits([])
    one.works.delete(unit!)
    await environment.run(one.group.release(unit!))
    await environment.advance(300)
    expect(two.works.has(unit!)).toBe(true)
    expect(shares(one, two)).toEqual([3, 5])
  })

  it.each(seeds(40))('seed %d: is even again when the store is, whatever it did', async seed => {
    const environment = new SimulatedEnvironment({ seed })
    const random = dice(seed)
    const store = new Unsteady()
    const join = (name: string): Worker => new Worker(store.through(environment, random), environment, name, 100)
    const workers = [join('0'), join('1'), join('2')]
    store.chance = 0.3
    for (let turn = 0; turn < 20; turn++) {
      await environment.advance(random() * 1_000)
      if (random() < 0.1) store.away = !store.away
      if (random() < 0.15) workers.push(join(`${workers.length + turn * 10}`))
      if (random() < 0.1 && workers.length > 1) void workers.shift()!.group.close()
    }
    store.chance = 0
    store.away = false
    await environment.advance(session * 2)
    const even = shares(...workers)
    expect(even.at(-1)! - even[0]!).toBeLessThanOrEqual(1)
    expect(workers.flatMap(({ works }) => [...works]).sort()).toEqual(units(8))
    const calm = workers.map(({ diary }) => diary.length)
    await environment.advance(session * 3)
    expect(workers.map(({ diary }) => diary.length)).toEqual(calm)
  })
})
