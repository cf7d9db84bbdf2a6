import { hasCode } from '../broker/index.ts'
import { deadlineIn, type Environment } from '../core/environment.ts'

/** How long a task that was abandoned may take to notice, ms: a handler that ignores its signal holds nobody up. */
const patience = 1_000

/** Ends a task within `timeout`: asks, then tells. Rejects with its fatal error. */
export function endTask(task: Endable, timeout: Promise<void>, environment: Environment): Promise<void> {
  const ended = task.release().catch(error => {
    if (!hasCode(error, 'aborted')) throw error
  })
  const abandoned = timeout.then(() => task.abandon())
  return endWithin(ended, abandoned, environment)
}

/** Resolves or rejects with `ended`, or resolves when that has not come soon after `timeout`. */
export async function endWithin(ended: Promise<void>, timeout: Promise<void>, environment: Environment): Promise<void> {
  const late = timeout.then(() => 'late' as const)
  if ((await Promise.race([ended, late])) !== 'late') return
  const deadline = deadlineIn(environment, patience)
  await Promise.race([ended, deadline.reached])
  deadline.cancel()
}

interface Endable {
  release(): Promise<void>
  abandon(): void
}
