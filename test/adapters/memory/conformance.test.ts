import { afterAll, describe, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { memoryHarness } from '../../testing/harnesses.ts'

adapterConformance(memoryHarness(), { describe, it, afterAll })
