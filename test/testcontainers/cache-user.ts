/** Started by a test as a process of its own: gets `argv[2]` from the cache, and notes its fetch in file `argv[3]`. */
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { cached } from '../../testcontainers/support/cache.ts'

const [, , name = '', notes = ''] = process.argv
const directory = await cached(name, async fresh => {
  await appendFile(notes, `${process.pid}\n`)
  await writeFile(join(fresh, 'one.jar'), 'half')
  // Long enough for the other processes to come and find it half done.
  await delay(500)
  await writeFile(join(fresh, 'one.jar'), 'whole')
})
console.log(directory)
