import { afterAll, describe, inject, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { startEventhubs } from '../../../testcontainers/eventhubs.ts'
import { eventhubsHarness } from '../../testing/harnesses.ts'

const server = inject('eventhubs')

// A server of its own: some cases restart it.
if (server.state === 'running')
  adapterConformance(await eventhubsHarness(await startEventhubs()), { describe, it, afterAll })
else it.skip(`conformance of eventhubs: not run, ${server.reason}`)
