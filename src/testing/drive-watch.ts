import type { StreamRecord } from '../core/record.ts'
import type { Stage } from '../pipeline/index.ts'

/** The same stage, which tells what its handler has seen. */
export function watchedStage(stage: Stage, see: (records: readonly StreamRecord[]) => void): Stage {
  if (stage.kind === 'source') return stage
  if (stage.kind === 'sink') {
    const { options } = stage
    const { write } = options
    if (typeof write !== 'function') return stage
    const watched: typeof write = (records, context) =>
      after(
        () => write(records, context),
        () => see(records as StreamRecord[])
      )
    return { ...stage, options: { ...options, write: watched } }
  }
  const { options } = stage
  if (options.processBatch) {
    const processBatch: typeof options.processBatch = (records, context) =>
      after(
        () => options.processBatch(records, context),
        () => see(records)
      )
    return { ...stage, options: { ...options, processBatch } }
  }
  const process: typeof options.process = (record, context) =>
    after(
      () => options.process(record, context),
      () => see([record])
    )
  return { ...stage, options: { ...options, process } }
}

/** What `call` gives, once `then` was called behind it: also when it throws. */
function after<Result>(call: () => Result, then: () => void): Result {
  let result: Result
  try {
    result = call()
  } catch (error) {
    then()
    throw error
  }
  if (typeof (result as { then?: unknown } | null | undefined)?.then !== 'function') {
    then()
    return result
  }
  return Promise.resolve(result).finally(then) as Result
}
