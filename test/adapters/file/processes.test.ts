import { describe, expect, it } from 'vitest'
import { folder, open, prepare, readAll, record, send, texts, until, Worker } from './support.ts'

const topic = 'numbers'

describe('several processes on one log', () => {
  it('may create it at the same time: one topic comes of it', async () => {
    const path = folder()
    const workers = Array.from({ length: 6 }, () => new Worker({ act: 'create', path, topic }))
    await until('all are done', () => workers.every(worker => worker.reported('done').length === 1))
    // Each has closed its adapter, and nothing else keeps it alive.
    await Promise.all(workers.map(worker => worker.exited))
    const refusals = workers.flatMap(worker => worker.reported('refused').map(({ code }) => code))
    expect(refusals).toEqual(Array.from({ length: 5 }, () => 'topic-exists'))
    const adapter = await open(path)
    expect(await adapter.admin().describeTopic(topic)).toEqual({ topic, partitions: 3 })
    expect(await readAll(adapter, topic, 2)).toEqual([])
  })

  it('append at the same time, and a reader of a third sees every batch whole and in order', async () => {
    const path = folder()
    const adapter = await open(path)
    await prepare(adapter, { topic, partitions: 2 })
    const append = { act: 'append', path, topic, partitions: 2, size: 20, batches: 100 } as const
    const names = ['left', 'right']
    const workers = names.map(name => new Worker({ ...append, name }))
    const reader = await adapter.partitionReader!({
      topic,
      partition: 1,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 16
    })
    const seen: string[] = []
    while (seen.length < 4000) {
      const { records } = await reader.receive({ wait: 5_000 })
      expect(records.length, `only ${seen.length} records came`).toBeGreaterThan(0)
      seen.push(...texts(records))
    }
    expect(seen).toEqual(texts(await readAll(adapter, topic, 1)))
    for (const name of names) {
      const own = seen.flatMap(text => (text.startsWith(name) ? Number(text.split(' ')[1]) : []))
      expect(own).toEqual(Array.from({ length: 2000 }, (_, index) => index))
    }
    // A batch is one piece: nobody else's record is in the middle of it.
    for (let at = 0; at < seen.length; at += 20)
      expect(new Set(seen.slice(at, at + 20).map(text => text.split(' ')[0])).size).toBe(1)
    await until('both are done', () => workers.every(worker => worker.reported('done').length === 1))
  })

  it('may be killed in the middle of an append: nothing acknowledged is lost, nothing half-written is read', async () => {
    const path = folder()
    const adapter = await open(path)
    await prepare(adapter, { topic, partitions: 3 })
    const append = { act: 'append', path, topic, partitions: 3, size: 50, batches: 1e6 } as const
    const acknowledged = new Map<string, number>()
    for (let round = 0; round < 6; round++) {
      const worker = new Worker({ ...append, name: `worker-${round}` })
      await until('some batches', () => worker.reported('acknowledged').length > 3 + round * 7)
      await worker.kill()
      acknowledged.set(`worker-${round}`, worker.reported('acknowledged').at(-1)!.batch)
    }
    // Another process reads: it has recovered what the last one left behind.
    const fresh = await open(path)
    const counts = new Map<string, number[]>()
    for (const partition of [0, 1, 2]) {
      const seen = texts(await readAll(fresh, topic, partition))
      expect(seen).toEqual(texts(await readAll(adapter, topic, partition)))
      for (const [name, batch] of acknowledged) {
        const own = seen.flatMap(text => (text.startsWith(`${name} `) ? Number(text.split(' ')[1]) : []))
        expect(own).toEqual(Array.from({ length: own.length }, (_, index) => index))
        expect(own.length % 50, 'a part of a batch').toBe(0)
        expect(own.length, `${name} lost what was acknowledged`).toBeGreaterThanOrEqual((batch + 1) * 50)
        counts.set(name, [...(counts.get(name) ?? []), own.length])
      }
    }
    // One send is one transaction over its partitions.
    for (const [name, each] of counts) expect(new Set(each).size, name).toBe(1)
    await send(await adapter.producer(), record(topic, 'after'))
    expect(texts(await readAll(fresh, topic)).at(-1)).toBe('after')
  })
})

describe('members of a group in several processes', () => {
  const read = { act: 'read', topic, group: 'readers', session: 1_500 } as const
  const all = (workers: readonly Worker[]): string =>
    workers
      .flatMap(worker => worker.held)
      .toSorted()
      .join()

  it('share, hand over quickly, and take over from one that closes or dies', async () => {
    const path = folder()
    const adapter = await open(path)
    const producer = await prepare(adapter, { topic, partitions: 4 })
    const first = new Worker({ ...read, path })
    await until('all for the first', () => first.held.length === 4)

    const second = new Worker({ ...read, path })
    await until('two each', () => first.held.length === 2 && second.held.length === 2)
    expect(all([first, second])).toBe('0,1,2,3')
    for (let partition = 0; partition < 4; partition++)
      await send(producer, record(topic, `a${partition}`, { partition }))
    const received = (worker: Worker): string[] => worker.reported('received').flatMap(({ values }) => values)
    await until('each value once', () => received(first).length + received(second).length === 4)
    expect([...received(first), ...received(second)].toSorted()).toEqual(['a0', 'a1', 'a2', 'a3'])

    // The one that closes hands over at once: far sooner than its session ends.
    first.tell('close')
    await until('the first is done', () => first.reported('done').length === 1)
    const closed = performance.now()
    await until('all for the second', () => second.held.length === 4)
    expect(performance.now() - closed).toBeLessThan(1_000)

    const third = new Worker({ ...read, path })
    await until('two each again', () => second.held.length === 2 && third.held.length === 2)
    await third.kill()
    const died = performance.now()
    await until('all for the second again', () => second.held.length === 4)
    expect(performance.now() - died).toBeLessThan(read.session + 2_000)
    second.tell('commit')
    await until('a commit', () => second.reported('committed').length === 1)
  }, 60_000)

  it('lose everything while they are stopped: the commit of the one that comes back is refused', async () => {
    const path = folder()
    const adapter = await open(path)
    const producer = await prepare(adapter, { topic, partitions: 1 })
    await send(producer, record(topic, 'one'), record(topic, 'two'))
    const zombie = new Worker({ ...read, path })
    await until('the records', () => zombie.reported('received').length > 0)
    await zombie.stop(path)
    const heir = new Worker({ ...read, path })
    await until('the heir has it', () => heir.held.length === 1)
    heir.tell('commit')
    await until('the commit of the heir', () => heir.reported('committed').length === 1)
    const position = await adapter.admin().committed(read.group, topic)
    await send(producer, record(topic, 'three'))
    await until('the third record', () => heir.reported('received').some(({ values }) => values.includes('three')))
    heir.tell('commit')
    await until('the second commit', () => heir.reported('committed').length === 2)
    expect(await adapter.admin().committed(read.group, topic)).not.toEqual(position)

    // Told while it is stopped: this is the first thing it does when it wakes up.
    zombie.tell('commit')
    zombie.continue()
    await until('an answer', () => zombie.reported('refused').length + zombie.reported('committed').length > 0)
    expect(zombie.reported('refused')).toEqual([{ kind: 'refused', code: 'not-owner' }])
    await until('the zombie knows', () => zombie.reported('revoked').some(({ lost }) => lost))
    expect(await adapter.admin().committed(read.group, topic)).toEqual(['2'])
    expect(heir.held).toEqual([0])
  }, 60_000)
})
