import { noCounts } from '../watermark/index.ts'
import type { Stage } from './definitions.ts'
import { durableProducer, splitName, taskName } from './identity.ts'
import type { VitalsReport } from './vitals-publisher.ts'

/** All tasks of a stage exist from its start: scaling and crashes change who runs them, not who they are. */
export function announcements(
  pipeline: string,
  stage: Stage,
  splits: readonly string[],
  tasks: number
): VitalsReport[] {
  const parts = stage.kind === 'source' ? splits : Array.from({ length: tasks }, (_, partition) => partition)
  return parts.map(part => {
    const task =
      typeof part === 'string' ? splitName(pipeline, stage.name, part) : taskName(pipeline, stage.name, part, part)
    const outputs = new Map(
      stage.to.map(topic => [topic.name, { watermark: -Infinity, last: new Map<number, number>() }])
    )
    const producer = durableProducer(task)
    return {
      producer,
      task: task.id,
      durable: true,
      state: 'joining',
      watermark: -Infinity,
      outputs,
      counts: noCounts,
      commit: 0
    }
  })
}
