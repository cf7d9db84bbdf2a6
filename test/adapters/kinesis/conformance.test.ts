import { afterAll, describe, inject, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { startKinesis } from '../../../testcontainers/kinesis.ts'
import { kinesisHarness } from '../../testing/harnesses.ts'

const server = inject('kinesis')

// A server of its own: some cases restart it.
if (server.state === 'running')
  adapterConformance(await kinesisHarness(await startKinesis({ persist: true })), { describe, it, afterAll })
else it.skip(`conformance of kinesis: not run, ${server.reason}`)
