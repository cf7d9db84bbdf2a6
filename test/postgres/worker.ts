/**
 * `node worker.ts URL TABLE N KEYED`: writes 1 to N through `postgres`, one commit each, as one of several owners that take the task
 * from each other. With a key, the row of `n % 10` is replaced. Says each commit, and how often it was fenced.
 */
import type { TaskLog } from '../../src/exactly-once/index.ts'
import { postgres } from '../../src/postgres.ts'
import { retried } from '../exactly-once/postgres-owner.ts'
import { commit, record, task } from '../sqlite/record.ts'

const [url = '', table = '', most, keyed] = process.argv.slice(2)
const key = keyed === 'true' ? { key: ['n'] } : {}
const writer = await retried(() => postgres<ReturnType<typeof record<object>>>({ url, table, ...key }).open())

/** As the pipeline does it. */
async function append(log: TaskLog, number: number): Promise<boolean> {
  const row = keyed === 'true' ? { n: number % 10, count: number } : { n: number, count: number }
  writer.stage(log, [writer.prepare(record(row))])
  const token = `${process.pid} ${number} ${Math.random()}`
  for (;;) {
    const outcome = await log.append({ ...commit(number), token })
    if (outcome !== 'unknown') return outcome === 'ok'
    const found = await retried(() => log.readBack())
    if (found === 'fenced') return false
    if (found.last?.token === token) return true
    if ((found.last?.number ?? 0) !== number - 1) return false
  }
}

let fenced = 0
for (let done = false; !done;) {
  const log = await retried(() => writer.store.acquire(task()))
  for (let number = (log.last?.number ?? 0) + 1; ; number++) {
    done = number > Number(most)
    if (done) break
    if (!(await append(log, number))) break
    process.send!({ committed: number })
    if (number % 5 === 0) await new Promise(resolve => setTimeout(resolve, 5))
  }
  if (!done) fenced++
}
process.send!({ fenced })
await writer.close()
process.disconnect()
