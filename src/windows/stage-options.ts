import { StreamError } from '../core/errors.ts'
import type { FailurePolicy, RateLimit } from '../pipeline/index.ts'

/** What these stages have as processors have it. */
export interface StageOptions {
  readonly failure?: FailurePolicy
  /** How many records are begun within a time, at each worker, of all its topics. Default: as many as there are. */
  readonly rateLimit?: RateLimit
}

const results = 'give it to a processor that reads the results'

/** Options of a processor that a stage of this kind cannot have, and what to do. */
const refused: Readonly<Record<string, string>> = {
  state: `its state is its own: ${results}`,
  concurrency: 'its functions are synchronous, so nothing would run beside anything',
  guard: `a record that is withheld would be missing in a result that is said to be complete: ${results}`,
  process: `it has a handler of its own: ${results}`,
  processBatch: `it has a handler of its own: ${results}`,
  batch: 'it handles one record at a time',
  circuit: 'it asks nobody outside',
  onTimer: `its timers are its own: ${results}`,
  onWatermark: results,
  interval: results,
  onComplete: results
}

/**
 * What is passed on to the processor. Throws `bad-config` for what would be without effect, or wrong.
 *
 * @param takes options of the list above that this stage has a meaning for
 */
export function stageOptions(where: string, options: StageOptions, takes: readonly string[] = []): StageOptions {
  for (const [name, why] of Object.entries(refused))
    if ((options as Record<string, unknown>)[name] !== undefined && !takes.includes(name))
      throw new StreamError('bad-config', `${where} takes no \`${name}\`: ${why}`)
  const { failure, rateLimit } = options
  return { ...(failure && { failure }), ...(rateLimit && { rateLimit }) }
}
