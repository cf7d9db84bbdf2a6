import { afterAll, describe, inject, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { startPulsar } from '../../../testcontainers/pulsar.ts'
import { pulsarHarness } from '../../testing/harnesses.ts'

const server = inject('pulsar')

// A server of its own: some cases restart it.
if (server.state === 'running') adapterConformance(await pulsarHarness(await startPulsar()), { describe, it, afterAll })
else it.skip(`conformance of pulsar: not run, ${server.reason}`)
