import { afterAll, describe, inject, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { pubsubHarness } from '../../testing/harnesses.ts'

const server = inject('pubsub')

if (server.state === 'running') {
  adapterConformance(await pubsubHarness({ url: server.url, stop: async () => {} }), { describe, it, afterAll })
} else it.skip(`conformance of pubsub: not run, ${server.reason}`)
