import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, it } from 'vitest'
import { file, fileCapabilities } from '../../src/adapters/file/index.ts'
import { memory, MemoryBroker, memoryCapabilities } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { MemoryStore, SqliteStore } from '../../src/exactly-once/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { adapterConformance, conformanceCases, type Harness } from '../../src/testing/conformance/index.ts'
import { regrouped, withoutTransactions } from './ungrouped.ts'

/** What the contract asks of a reader in a group, asked of one by leases. How much waits is told by the driver alone. */
const about = ['order', 'positions', 'seek', 'flow', 'membership', 'failures', 'durability', 'pipeline']
const cases = conformanceCases.filter(
  ({ group, name }) => about.includes(group) && name !== 'the backlog is what was written and not committed'
)

async function opened(adapter: AnyAdapter): Promise<AnyAdapter> {
  await adapter.open(systemEnvironment)
  return adapter
}

const broker = new MemoryBroker()
const store = new MemoryStore()
const inMemory: Harness = {
  backend: 'memory, by leases',
  capabilities: withoutTransactions(memoryCapabilities),
  sessionTimeout: 500,
  start: async () => regrouped(await opened(memory({ broker })), store),
  async stop() {}
}
adapterConformance(inMemory, { describe, it, afterAll }, cases)

const folder = await mkdtemp(join(tmpdir(), 'tidemark-leased-'))
const stores: SqliteStore[] = []
const inFile: Harness = {
  backend: 'file, by leases',
  capabilities: fileCapabilities,
  sessionTimeout: 2_000,
  async start() {
    const own = await SqliteStore.open(join(folder, 'commits.db'))
    stores.push(own)
    return regrouped(await opened(file({ path: folder })), own)
  },
  async stop() {
    for (const own of stores) await own.close()
    await rm(folder, { recursive: true, force: true })
  }
}
adapterConformance(inFile, { describe, it, afterAll }, cases)
