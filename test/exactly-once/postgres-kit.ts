import { PostgresStore, type ClientStore } from '../../src/exactly-once/index.ts'
import { port, running, storeUrl, through } from '../support/postgres.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import type { StoreKit } from './stores.ts'

/** The store behind a network that loses what it is told to. */
export async function postgresKit(): Promise<StoreKit> {
  const proxy = await TcpProxy.start(port)
  const url = storeUrl()
  const store = await PostgresStore.open({ url: through(proxy.port, url) })
  const opened = [store]
  const next = (from: 'client' | 'server') => () => {
    proxy.judge = chunk => {
      if (chunk.from !== from) return 'pass'
      proxy.judge = undefined
      return 'cut'
    }
  }
  return {
    name: 'postgres',
    store,
    async again() {
      const more = await PostgresStore.open({ url })
      opened.push(more)
      return more
    },
    lose: next('client'),
    hide: next('server'),
    async close() {
      for (const each of opened) await each.close()
      await proxy.close()
    }
  }
}

/** For the suites that all stores have in common; none where no server can be started. */
export const postgresKits: [string, () => Promise<StoreKit>][] = running ? [['PostgresStore', postgresKit]] : []
export const postgresStores: [string, () => Promise<ClientStore>][] = running
  ? [['PostgresStore', () => PostgresStore.open({ url: storeUrl() })]]
  : []
