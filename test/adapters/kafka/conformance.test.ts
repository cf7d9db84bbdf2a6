import { afterAll, describe, inject, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { kafkaHarness } from './harness.ts'

const server = inject('kafka')

if (server.state === 'running') adapterConformance(await kafkaHarness(), { describe, it, afterAll })
else it.skip(`conformance of kafka: not run, ${server.reason}`)
