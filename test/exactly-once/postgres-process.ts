/**
 * `node postgres-process.ts URL COMMITS`: commits to one task until it has so many, against others who do the same: whoever is fenced
 * takes the task back. Says each commit that it was told of.
 */
import { PostgresStore } from '../../src/exactly-once/index.ts'
import { Owner, retried } from './postgres-owner.ts'
import { task } from './stores.ts'

const [url = '', wanted = ''] = process.argv.slice(2)
const store = await retried(() => PostgresStore.open({ url }))
let fenced = 0
for (let done = false; !done;) {
  const owner = new Owner(store, task)
  await owner.acquire()
  for (;;) {
    done = owner.number >= Number(wanted)
    if (done) break
    if (!(await owner.commit())) break
    process.send!({ committed: owner.number })
    // Lets others in.
    if (owner.number % 5 === 0) await new Promise(resolve => setTimeout(resolve, 5))
  }
  if (!done) fenced++
}
process.send!({ fenced })
await store.close()
process.disconnect()
