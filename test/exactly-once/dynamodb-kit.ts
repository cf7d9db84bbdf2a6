import { DynamodbStore, type ClientStore } from '../../src/exactly-once/index.ts'
import { port, running, storeUrl, through } from '../support/dynamodb.ts'
import { TcpProxy, type Chunk } from '../support/tcp-proxy.ts'
import type { StoreKit } from './stores.ts'

/** Is it a request for the conditional write? */
export const movesHead = ({ from, bytes }: Chunk): boolean =>
  from === 'client' && bytes.includes('DynamoDB_20120810.UpdateItem')

/** The store behind a network that loses what it is told to: the conditional write, or the answer to it. */
export async function dynamodbKit(): Promise<StoreKit> {
  const proxy = await TcpProxy.start(port)
  const url = storeUrl()
  const store = await DynamodbStore.open({ url: through(proxy.port, url) })
  const opened = [store]
  return {
    name: 'dynamodb',
    store,
    async again() {
      const more = await DynamodbStore.open({ url })
      opened.push(more)
      return more
    },
    lose() {
      proxy.judge = chunk => {
        if (!movesHead(chunk)) return 'pass'
        proxy.judge = undefined
        return 'cut'
      }
    },
    hide() {
      let asked: number | undefined
      proxy.judge = chunk => {
        if (movesHead(chunk)) asked = chunk.connection
        if (chunk.from !== 'server' || chunk.connection !== asked) return 'pass'
        proxy.judge = undefined
        return 'cut'
      }
    },
    async close() {
      for (const each of opened) await each.close()
      await proxy.close()
    }
  }
}

/** For the suites that all stores have in common; none where no server can be started. */
export const dynamodbKits: [string, () => Promise<StoreKit>][] = running ? [['DynamodbStore', dynamodbKit]] : []
export const dynamodbStores: [string, () => Promise<ClientStore>][] = running
  ? [['DynamodbStore', () => DynamodbStore.open({ url: storeUrl() })]]
  : []
