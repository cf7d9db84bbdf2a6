import { describe, expect, it } from 'vitest'
import {
  keyed,
  number,
  pipeline,
  PoisonError,
  processor,
  text,
  topic,
  type Pipeline,
  type RedriveOptions,
  type RedriveProgress
} from '../../src/index.ts'
import { dice, seeds, World } from './world.ts'

const words = topic('words', { key: text, value: text, partitions: 2 })
const echoes = topic('echoes', { key: text, value: text, partitions: 2 })
const entry = (value: string): { key: string; value: string } => ({ key: value[0]!, value })

/** Counts what it does by key; refuses what is told. */
function counting(refuses: (value: string) => boolean): Pipeline {
  return pipeline('counting', [
    processor({
      name: 'count',
      from: words,
      to: echoes,
      state: { count: keyed(number, 0) },
      process({ key, value }, { state }) {
        if (refuses(value)) throw new PoisonError(`no ${value}`)
        state.count.set(state.count.get() + 1)
        return { key, value: `${value} ${state.count.get()}` }
      }
    })
  ])
}

class Scene {
  readonly world: World
  refused: (value: string) => boolean = value => value.includes('!')

  constructor(seed = 1, latency = 0) {
    this.world = new World({ seed, latency })
  }

  async write(...values: string[]): Promise<void> {
    const client = await this.world.connect('writer')
    await client.admin.ensure(words)
    await client.admin.ensure(echoes)
    const producer = await client.producer(words)
    await this.world.environment.run(producer.sendAll(values.map(entry)))
    await this.world.environment.run(client.close())
  }

  start(app: Pipeline = counting(value => this.refused(value))): void {
    void this.world
      .worker()
      .run(app, { handleSignals: false })
      .catch(() => {})
  }

  async redrive(options: RedriveOptions = {}): Promise<RedriveProgress> {
    const client = await this.world.connect('redrive')
    try {
      return await this.world.environment.run(client.admin.redrive(words, options))
    } finally {
      await this.world.environment.run(client.close())
    }
  }

  async echoes(): Promise<string[]> {
    return (await this.world.records(echoes)).map(({ value }) => value as string).toSorted()
  }
}

describe('redrive', () => {
  it('sends everything back once; the stage goes on as if it had come now', async () => {
    const scene = new Scene()
    await scene.write('a1', 'a2!', 'b3', 'b4!', 'c5!')
    scene.start()
    await scene.world.environment.advance(3_000)
    expect(await scene.echoes()).toEqual(['a1 1', 'b3 1'])
    scene.refused = () => false
    expect(await scene.redrive()).toEqual({ found: 3, matched: 3, already: 0, sent: 3, partitions: 2, of: 2 })
    await scene.world.environment.advance(3_000)
    expect(await scene.echoes()).toEqual(['a1 1', 'a2! 2', 'b3 1', 'b4! 2', 'c5! 1'])
    expect(await scene.redrive()).toMatchObject({ found: 3, matched: 3, already: 3, sent: 0 })
    await scene.world.environment.advance(3_000)
    expect((await scene.echoes()).length).toBe(5)
    expect(await scene.world.counts('count')).toMatchObject({ processed: 5, parked: 3, duplicates: 0, lost: 0 })
  })

  it('sends what a filter takes, or one; what it leaves can be sent later', async () => {
    const scene = new Scene()
    await scene.write('a1!', 'b2!', 'c3!')
    scene.start()
    await scene.world.environment.advance(3_000)
    scene.refused = () => false
    const [one] = await scene.world.parked(words)
    expect(await scene.redrive({ filter: ({ origin }) => origin === one!.origin })).toMatchObject({
      matched: 1,
      sent: 1
    })
    await scene.world.environment.advance(2_000)
    expect(await scene.echoes()).toEqual([`${one!.record!.value} 1`])
    expect(await scene.redrive({ filter: ({ error }) => error.includes('b2') })).toMatchObject({ matched: 1 })
    expect(await scene.redrive()).toMatchObject({ matched: 3 })
    await scene.world.environment.advance(2_000)
    expect(await scene.echoes()).toEqual(['a1! 1', 'b2! 1', 'c3! 1'])
  })

  it('sends nothing in a dry run, and says what it would', async () => {
    const scene = new Scene()
    await scene.write('a1!', 'b2')
    scene.start()
    await scene.world.environment.advance(3_000)
    const before = scene.world.written('words')
    const seen: string[] = []
    const onRecord: RedriveOptions['onRecord'] = ({ origin, error }, fate) =>
      void seen.push(`${origin} ${error} ${fate}`)
    expect(await scene.redrive({ dryRun: true, onRecord })).toMatchObject({ found: 1, sent: 1 })
    expect(seen).toEqual([expect.stringMatching(/^words\/\d\/0 no a1! found$/)])
    expect(scene.world.written('words')).toBe(before)
  })

  it('does not chase what is parked again, and counts how often it was', async () => {
    const scene = new Scene()
    await scene.write('a1!')
    scene.start()
    await scene.world.environment.advance(3_000)
    for (const times of [1, 2, 3]) {
      expect(await scene.redrive()).toMatchObject({ found: times, sent: 1, already: times - 1 })
      await scene.world.environment.advance(3_000)
    }
    const headers = (await scene.world.parked(words)).map(({ raw }) => raw.headers['~redriven']?.toString())
    expect(headers).toEqual([undefined, '1', '2', '3'])
  })

  it('ends, though what it sends is parked again faster than it reads', async () => {
    const scene = new Scene(1, 40)
    const values = Array.from({ length: 40 }, (_, index) => `a${index}!${'x'.repeat(250_000)}`)
    await scene.write(...values)
    scene.start()
    await scene.world.environment.advance(10_000)
    const progress = await scene.redrive()
    expect(progress).toMatchObject({ sent: 40 })
    // Some of them had come again before it was through.
    expect(progress.found).toBeGreaterThan(40)
  })

  it('is for the stage that gave up; for the others of the topic it is a repeat', async () => {
    const scene = new Scene()
    const seen: string[] = []
    await scene.write('a1!', 'b2')
    scene.start()
    scene.start(
      pipeline('audit', [processor({ name: 'all', from: words, process: ({ value }) => void seen.push(value) })])
    )
    await scene.world.environment.advance(3_000)
    scene.refused = () => false
    await scene.redrive()
    await scene.world.environment.advance(3_000)
    expect(await scene.echoes()).toEqual(['a1! 1', 'b2 1'])
    expect(seen.toSorted()).toEqual(['a1!', 'b2'])
    expect(await scene.world.counts('all')).toMatchObject({ processed: 2, duplicates: 1, lost: 0 })
  })

  it('is for everybody when asked', async () => {
    const scene = new Scene()
    const seen: string[] = []
    await scene.write('a1!')
    scene.start()
    scene.start(
      pipeline('audit', [processor({ name: 'all', from: words, process: ({ value }) => void seen.push(value) })])
    )
    await scene.world.environment.advance(3_000)
    await scene.redrive({ everybody: true })
    await scene.world.environment.advance(3_000)
    expect(seen).toEqual(['a1!', 'a1!'])
  })

  it('finds nothing where nothing was ever parked', async () => {
    const scene = new Scene()
    await scene.write('a1')
    expect(await scene.redrive()).toEqual({ found: 0, matched: 0, already: 0, sent: 0, partitions: 0, of: 0 })
  })

  it.each(seeds(12))(
    'sends each once, wherever it is killed and however often it is repeated (seed %i)',
    async seed => {
      const scene = new Scene(seed, 40)
      const random = dice(seed * 31)
      const values = Array.from({ length: 60 }, (_, index) => `${'abcdefgh'[index % 8]}${index}!`)
      await scene.write(...values)
      scene.start()
      await scene.world.environment.advance(10_000)
      scene.refused = () => false
      for (let run = 0; run < 6; run++) {
        const worker = scene.world.worker()
        void worker.redrive(words).catch(() => {})
        await scene.world.environment.advance(random() * 400)
        worker.kill()
        await scene.world.environment.turn()
      }
      // A call of a dead one may still be on its way to the store, and fence this one.
      await scene.redrive().catch(error => (error.code === 'fenced' ? scene.redrive() : Promise.reject(error)))
      await scene.world.environment.advance(10_000)
      expect((await scene.echoes()).map(echo => echo.split(' ')[0]!)).toEqual(values.toSorted())
      expect(await scene.world.counts('count')).toMatchObject({ processed: 60, parked: 60, lost: 0 })
    }
  )

  it('does not hold the watermark of those who read the topic', async () => {
    const scene = new Scene()
    await scene.write('a1!', 'b2')
    scene.start()
    await scene.world.environment.advance(3_000)
    scene.refused = () => false
    await scene.redrive()
    await scene.world.environment.advance(2_000)
    const client = await scene.world.connect('more')
    const producer = await client.producer(words)
    const time = scene.world.environment.now()
    await scene.world.environment.run(
      producer.sendAll(['a', 'b', 'c', 'd', 'e'].map(key => ({ key, value: `${key}9`, eventTime: time })))
    )
    await scene.world.environment.advance(5_000)
    for (const [task, { watermark }] of await scene.world.tasks())
      if (task.startsWith('counting/count/')) expect(watermark).toBeGreaterThanOrEqual(time)
  })
})
