import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { connect, keyed, number, pipeline, processor, shadow, text, topic, type Pipeline } from '../../src/index.ts'
import { command } from './command.ts'

const orders = topic('orders', { key: text, value: text, partitions: 2 })
const done = topic('done', { key: text, value: text, partitions: 2 })
const begin = Date.UTC(2026, 2, 1)

let broker = ''

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'replay-'))
  broker = `file:${folder}`
  return () => rm(folder, { recursive: true, force: true })
})

let handled = 0
const shop = pipeline('shop', [
  processor({
    name: 'take',
    from: orders,
    to: done,
    state: { nth: keyed(number, 0) },
    process({ key, value }, { state }) {
      handled++
      state.nth.set(state.nth.get() + 1)
      return { key, value: `${value} ${state.nth.get()}` }
    }
  })
])

async function work(app: Pipeline, records: number): Promise<void> {
  await using client = await connect({ brokers: { default: broker }, variables: {} })
  const stop = new AbortController()
  const running = client.run(app, { handleSignals: false, signal: stop.signal, commitInterval: 10 })
  const limit = setTimeout(() => stop.abort(), 20_000)
  for (const until = handled + records; handled < until && !stop.signal.aborted;)
    await new Promise(resolve => setTimeout(resolve, 20))
  stop.abort()
  clearTimeout(limit)
  await running
}

async function write(count: number): Promise<void> {
  await using client = await connect({ brokers: { default: broker }, variables: {} })
  const producer = await client.producer(orders)
  for (let index = 0; index < count; index++)
    await producer.send({ key: 'only', value: `order ${index}`, eventTime: begin + index * 60_000 })
}

const tidemark = (...words: string[]): ReturnType<typeof command> => command(words)

describe('tidemark replay and tidemark compare', () => {
  it('set a stage back, leave out what is told, and tell what differs', async () => {
    await write(4)
    await work(shop, 4)
    await work(shadow(shop, { suffix: 'old' }), 4)
    expect(await tidemark('compare', 'done', 'done.old', '--broker', broker)).toMatchObject({
      code: 0,
      out: ['4 and 4 records: 4 the same, 0 missing, 0 extra, 0 different']
    })
    const words = ['replay', 'shop/take', '--topic', 'orders', '--broker', broker, '--state', 'reset']
    const from = ['--watermark', '2026-03-01T00:01:00Z', '--skip', '2026-03-01T00:02:00Z..2026-03-01T00:03:00Z']
    const dry = await tidemark(...words, ...from, '--dry-run')
    expect(dry).toMatchObject({ code: 0, error: [] })
    expect(dry.out.at(-1)).toBe('2 partitions would be set')
    const set = await tidemark(...words, ...from)
    expect(set.out.at(-1)).toBe('2 partitions were set')
    expect(set.out.join('\n')).toMatch(/shop\/take\/\d: orders\/\d from \d+ to after \d+, 1 rows of state deleted/)
    await work(shop, 2)
    const compared = await tidemark('compare', 'done', 'done.old', '--broker', broker, '--list')
    expect(compared.code).toBe(1)
    expect(compared.out.at(-1)).toBe('6 and 4 records: 4 the same, 2 missing, 0 extra, 0 different')
    expect(compared.out[0]).toMatch(/^missing {3}only in partition \d: at \d+ and -$/)
    const json = await tidemark('compare', 'done', 'done.old', '--broker', broker, '--last', '--json')
    expect(JSON.parse(json.out[0]!)).toMatchObject({ topics: ['done', 'done.old'], same: 0, different: 1 })
  }, 60_000)

  it.each([
    [['replay', 'shop'], 'name one stage: PIPELINE/STAGE'],
    [['replay', 'shop/take'], 'name what the stage reads'],
    [['replay', 'shop/take', '--topic', 'orders', '--from', 'noon'], "--from 'noon' is no time"],
    [['replay', 'shop/take', '--topic', 'orders', '--from', 'earliest', '--after', 'orders/0/1'], 'give one of --from'],
    [['replay', 'shop/take', '--topic', 'orders', '--after', 'orders-1'], "'orders-1' is no place"],
    [['replay', 'shop/take', '--topic', 'orders', '--skip', 'orders/0/1'], 'is no range'],
    [['replay', 'shop/take', '--topic', 'orders', '--from', 'earliest', '--state', 'gone'], '--state is keep or reset'],
    [['replay', 'shop/take', '--topic', 'orders', '--from', 'earliest'], 'neither --broker nor'],
    [['compare', 'done'], 'name two topics'],
    [['compare', 'done', 'other'], 'neither --broker nor']
  ])('%j is a wrong call', async (words, message) => {
    const { code, error } = await tidemark(...words)
    expect(code).toBe(2)
    expect(error.join('\n')).toContain(message)
  })
})
