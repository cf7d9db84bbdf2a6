import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { connect, pipeline, PoisonError, processor, text, topic, type Client } from '../../src/index.ts'
import { command } from './command.ts'

const orders = topic('orders', { key: text, value: text, partitions: 2 })
const done = topic('done', { key: text, value: text, partitions: 2 })

let broker = ''

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'redrive-'))
  broker = `file:${folder}`
  return () => rm(folder, { recursive: true, force: true })
})

const open = (): Promise<Client> => connect({ brokers: { default: broker }, variables: {} })

/** Runs the pipeline until so many records are on a topic. */
async function work(
  refuses: (value: string) => boolean,
  counts: number,
  ended: (handled: number) => boolean
): Promise<void> {
  await using client = await open()
  const stop = new AbortController()
  let handled = 0
  const app = pipeline('shop', [
    processor({
      name: 'take',
      from: orders,
      to: done,
      process({ key, value }) {
        if (ended(++handled)) setTimeout(() => stop.abort(), 500)
        if (refuses(value)) throw new PoisonError(`cannot take ${value}`)
        return { key, value }
      }
    })
  ])
  const limit = setTimeout(() => stop.abort(), 20_000)
  await client.run(app, { handleSignals: false, signal: stop.signal, commitInterval: 10 })
  clearTimeout(limit)
  expect(handled).toBeGreaterThanOrEqual(counts)
}

async function parkAll(count: number): Promise<void> {
  const client = await open()
  const producer = await client.producer(orders)
  await producer.sendAll(Array.from({ length: count }, (_, index) => ({ key: `k${index}`, value: `order ${index}` })))
  await client.close()
  await work(
    () => true,
    count,
    handled => handled === count
  )
}

async function valuesOf(from: typeof done): Promise<string[]> {
  await using client = await open()
  const values: string[] = []
  const stop = new AbortController()
  const options = { group: `check-${Math.random()}`, signal: stop.signal }
  const limit = setTimeout(() => stop.abort(), 2_000)
  for await (const { value } of client.consumer(from, options)) values.push(value)
  clearTimeout(limit)
  return values
}

const tidemark = (...words: string[]): ReturnType<typeof command> => command(['redrive', ...words])

describe('tidemark redrive', () => {
  it('lists, filters, sends one and all', async () => {
    await parkAll(5)
    const dry = await tidemark('orders', '--broker', broker, '--all', '--dry-run', '--list')
    expect(dry.code).toBe(0)
    expect(dry.out.length).toBe(6)
    expect(dry.out[0]).toMatch(
      /^found {4}orders\/\d\/\d+ \S+Z by shop\/take\/\d after 1: handler: cannot take order \d$/
    )
    expect(dry.out[5]).toBe('5 parked, 5 match, 0 sent again before, 5 would be sent')
    const origin = dry.out[0]!.split(/\s+/)[1]!
    const one = await tidemark('orders', '--broker', broker, '--origin', origin)
    expect(one.out).toEqual(['5 parked, 1 match, 0 sent again before, 1 sent'])
    const some = await tidemark('orders', '--broker', broker, '--error', 'order 3', '--by', 'shop/take', '--json')
    expect(JSON.parse(some.out[0]!)).toMatchObject({ topic: 'orders', found: 5, matched: 1 })
    const none = await tidemark('orders', '--broker', broker, '--code', 'bad-record')
    expect([none.code, none.out[0]]).toEqual([1, '5 parked, 0 match, 0 sent again before, 0 sent'])
    await tidemark('orders', '--broker', broker, '--all')
    await work(
      () => false,
      5,
      handled => handled === 5
    )
    expect((await valuesOf(done)).toSorted()).toEqual([0, 1, 2, 3, 4].map(index => `order ${index}`))
  })

  it.each([
    [[], 'name one topic'],
    [['orders'], 'give --all, or a filter'],
    [['orders', '--all', '--code', 'handler'], 'give --all, or a filter'],
    [['orders', '--all'], 'neither --broker nor TIDEMARK_BROKERS__DEFAULT is given'],
    [['orders', '--since', 'yesterday'], "--since 'yesterday' is no time"]
  ])('%j is a wrong call', async (words, message) => {
    const { code, error } = await tidemark(...words)
    expect(code).toBe(2)
    expect(error.join('\n')).toContain(message)
  })

  it('sends each once when it is killed in the middle and repeated', async () => {
    const count = 1_000
    await parkAll(count)
    for (let round = 0, ended = false; !ended && round < 20; round++) {
      const child = spawn(process.execPath, ['src/cli/main.ts', 'redrive', 'orders', '--all', '--broker', broker], {
        stdio: ['ignore', 'pipe', 'inherit']
      })
      onTestFinished(() => void child.kill('SIGKILL'))
      // Later in each round: it is killed before, while and after it sends.
      const timer = setTimeout(() => child.kill('SIGKILL'), 150 + round * 100)
      ended = await new Promise(resolve => child.once('exit', code => resolve(code === 0)))
      clearTimeout(timer)
    }
    await tidemark('orders', '--broker', broker, '--all')
    await work(
      () => false,
      count,
      handled => handled === count
    )
    const values = await valuesOf(done)
    expect(values.length).toBe(count)
    expect(new Set(values).size).toBe(count)
  }, 120_000)
})
