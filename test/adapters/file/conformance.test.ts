import { afterAll, describe, it } from 'vitest'
import { adapterConformance } from '../../../src/testing/conformance/index.ts'
import { fileHarness } from '../../testing/harnesses.ts'

adapterConformance(await fileHarness(), { describe, it, afterAll })
