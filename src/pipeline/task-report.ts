import type { OutputVitals } from '../watermark/index.ts'
import type { StreamTask } from './stream-task.ts'
import { inputVitals } from './task-head.ts'
import type { VitalsReport } from './vitals-publisher.ts'

/**
 * What a task tells of itself as of now. Its health is asked for with each beat.
 *
 * @param finished it has come to its end: it holds nobody up any more
 */
export function taskReport(
  task: StreamTask,
  who: Pick<VitalsReport, 'producer' | 'task' | 'durable' | 'state' | 'commit'>,
  finished: boolean
): VitalsReport {
  const outputs = new Map<string, OutputVitals>()
  const watermark =
    finished || who.state === 'left'
      ? Infinity
      : who.state === 'joining'
        ? -Infinity
        : Math.min(task.watermark, task.outputs.watermark)
  for (const [topic, written] of task.outputs.vitals()) outputs.set(topic, { watermark, ...written })
  return {
    ...who,
    watermark: task.watermark,
    outputs,
    inputs: inputVitals(task.inputs),
    counts: { ...task.counts },
    health: () => task.health.report(),
    hasNews: () => task.health.hasNews()
  }
}
