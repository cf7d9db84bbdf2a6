/** A process that commits to a shared file until it is killed or fenced: each commit adds one to a counter. */
import { noHeaders } from '../../src/core/record.ts'
import { SqliteStore } from '../../src/exactly-once/index.ts'
import { commitOf, row, task } from './stores.ts'
import { storedRows } from '../support/stored-rows.ts'

const [path = '', name = '', wanted = ''] = process.argv.slice(2)
const store = await SqliteStore.open(path)
const log = await store.acquire(task)
process.send!({ acquired: log.epoch, number: log.last?.number ?? 0 })
// Another one may have taken over already: the first commit tells then.
const rows = await storedRows(log.state).catch((error: { code?: string }) => {
  if (error.code !== 'fenced') throw error
  return []
})
let counter = Number(rows.map(({ value }) => Buffer.from(value!).toString())[0] ?? 0)
let number = log.last?.number ?? 0
const end = wanted === '' ? Infinity : number + Number(wanted)
while (number < end) {
  counter++
  number++
  const value = Buffer.from(`${counter}`)
  const outcome = await log.append(
    commitOf(number, {
      state: [row('counter', `${counter}`)],
      outputs: [{ topic: 'out', partition: 0, key: null, value, headers: noHeaders, stamp: undefined, timestamp: 0 }]
    })
  )
  if (outcome !== 'ok') {
    process.send!({ ended: outcome, number: number - 1, name })
    break
  }
  process.send!({ committed: number })
  await new Promise(resolve => setImmediate(resolve))
}
await store.close()
process.disconnect()
