import { afterAll, describe, inject, it, test } from 'vitest'
import { memory, MemoryBroker, memoryCapabilities } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { DynamodbStore } from '../../src/exactly-once/index.ts'
import { adapterConformance, conformanceCases } from '../../src/testing/conformance/index.ts'
import { dynamodbAvailable, startDynamodb } from '../../testcontainers/dynamodb.ts'
import { notRun, running, url, urlOf } from '../support/dynamodb.ts'
import { threeWorkers } from './three-workers.ts'
import { regrouped, withoutTransactions } from './ungrouped.ts'

const reason = inject('backends').includes('dynamodb') ? await dynamodbAvailable() : 'BACKENDS leaves out dynamodb'

describe.skipIf(reason)(
  `a broker without groups, leases and commits in DynamoDB${reason ? ` (not run: ${reason})` : ''}`,
  () => {
    test('three workers share a pipeline; one is killed, then the server: nothing is lost, nothing twice', async () => {
      await using server = await startDynamodb()
      const store = urlOf('ledger', { endpoint: server.endpoint, requestTimeout: '2000' })
      await threeWorkers({ server, store, sessionTimeout: 3_000, patience: 60_000 })
    }, 600_000)
  }
)

/** What the contract asks of a reader in a group, asked of one by leases in DynamoDB. */
const cases = conformanceCases.filter(({ group }) => ['positions', 'membership'].includes(group))
describe.skipIf(!running)(`leases in DynamoDB${notRun}`, () => {
  const broker = new MemoryBroker()
  const stores: DynamodbStore[] = []
  adapterConformance(
    {
      backend: 'memory, by leases in DynamoDB',
      capabilities: withoutTransactions(memoryCapabilities),
      sessionTimeout: 2_000,
      async start() {
        const store = await DynamodbStore.open({ url })
        stores.push(store)
        const adapter = memory({ broker })
        await adapter.open(systemEnvironment)
        return regrouped(adapter, store)
      },
      async stop() {
        for (const store of stores) await store.close()
      }
    },
    { describe, it, afterAll },
    cases.filter(({ name }) => name !== 'the backlog is what was written and not committed')
  )
})
