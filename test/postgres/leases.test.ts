import { describe, expect, inject, test } from 'vitest'
import { postgresAvailable, startPostgres } from '../../testcontainers/postgres.ts'
import { threeWorkers } from '../leases/three-workers.ts'
import { asked, withOptions } from '../support/postgres.ts'

const reason = inject('backends').includes('postgres') ? await postgresAvailable() : 'BACKENDS leaves out postgres'

describe.skipIf(reason)(
  `a broker without groups, leases and commits in PostgreSQL${reason ? ` (not run: ${reason})` : ''}`,
  () => {
    test('three workers share a pipeline; one is killed, then the server: nothing is lost, nothing twice', async () => {
      await using server = await startPostgres()
      const store = withOptions(server.url, { schema: 'ledger' })
      await threeWorkers({ server, store, sessionTimeout: 2_000, patience: 60_000 })
      const holders = await asked('SELECT name FROM ledger.lease WHERE owner IS NOT NULL', [], server.url)
      // All have said goodbye; of the one that was killed, at most its presence is left.
      expect(holders.length).toBeLessThanOrEqual(1)
    }, 600_000)
  }
)
