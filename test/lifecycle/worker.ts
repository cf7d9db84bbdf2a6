/** A worker of its own process: `worker.ts <folder> <mode>`. It says what it does in lines of JSON. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, number, pipeline, processor, source, text, topic } from '../../src/index.ts'

const [folder, mode] = process.argv.slice(2) as [string, 'steady' | 'hangs' | 'draining']

const numbers = topic('numbers', { key: text, value: number, partitions: 2 })
const doubled = topic('doubled', { key: text, value: number, partitions: 2 })
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

/** Two leases, each with its own place to go on from. */
const feed = source({
  name: 'feed',
  to: numbers,
  splits: () => ['a', 'b'],
  async *run({ resume, split, signal }) {
    for (let value = ((resume as number | undefined) ?? -1) + 1; value < 300; value++) {
      if (signal.aborted) return
      if (value % 10 === 0) await sleep(10)
      yield { key: `${split}${value % 7}`, value: split === 'a' ? value : value + 1_000, cursor: value }
    }
  }
})

let seen = 0
const double = processor({
  name: 'double',
  from: numbers,
  to: doubled,
  async process({ key, value }) {
    seen++
    if (seen % 50 === 0) say({ seen })
    if (mode === 'hangs' && value === 100) {
      say({ hanging: true })
      await new Promise(() => {})
    }
    await sleep(1)
    return { key, value: value * 2 }
  }
})

const client = await connect({ brokers: { default: `file:${folder}` }, variables: {} })
const app = pipeline('lifecycle', [feed, double])
const drainTimeout = mode === 'hangs' ? 1_500 : mode === 'draining' ? 60_000 : 10_000
const running = client.run(app, { sessionTimeout: 30_000, drainTimeout })
const waiting = setInterval(() => {
  if (!client.health().ready) return
  clearInterval(waiting)
  say({ ready: true })
}, 20)
try {
  await running
  say({ ended: true })
} catch (error) {
  say({ failed: (error as Error).message })
  process.exitCode = 1
} finally {
  clearInterval(waiting)
}
await client.close()
// What hangs is not waited for: the program has to end by itself all the same.
say({ closed: true, left: process.getActiveResourcesInfo().filter(name => !['PipeWrap', 'TTYWrap'].includes(name)) })
