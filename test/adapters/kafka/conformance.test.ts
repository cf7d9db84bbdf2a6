import { afterAll, describe, inject, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { startKafka } from '../../../testcontainers/kafka.ts'
import { kafkaHarness } from '../../testing/harnesses.ts'

const server = inject('kafka')

// A server of its own: some cases restart it.
if (server.state === 'running') adapterConformance(await kafkaHarness(await startKafka()), { describe, it, afterAll })
else it.skip(`conformance of kafka: not run, ${server.reason}`)
