/** Opens the store in each file that it is told of, and says how that went: `node sqlite-opener.ts`, by `fork`. */
import { SqliteStore } from '../../src/exactly-once/stores/sqlite.ts'

process.on('message', async (file: string) => {
  try {
    const store = await SqliteStore.open(file)
    process.send!('open')
    await store.close()
  } catch (error) {
    process.send!(String(error))
  }
})
process.send!('ready')
