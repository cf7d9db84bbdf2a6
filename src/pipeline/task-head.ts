import type { ProducerId } from '../core/stamp.ts'
import type { Head, Skip } from '../exactly-once/index.ts'
import type { StartAt } from '../spec/index.ts'
import type { RecordMarks } from '../state/index.ts'
import { toSnapshot, type InputVitals, type TallySnapshot, type TrackerSnapshot } from '../watermark/index.ts'
import type { Completion } from './completion.ts'
import type { HandlerContext } from './handler-context.ts'
import { PartitionInput, type MutableCounts } from './input.ts'
import { OutputBuffer, type SentTallies, type Sequences } from './outputs.ts'
import { ahead } from './skips.ts'
import type { StageRuntime } from './stage-runtime.ts'

type Reading = Pick<StageRuntime, 'from' | 'view'>

/** The inputs of a task as its last commit left them. */
export function openInputs(
  { from, view }: Reading,
  partition: number,
  head: Head | undefined,
  marks: RecordMarks
): PartitionInput[] {
  return from.map(bound => {
    const { name } = bound.topic
    const snapshot = head?.trackers[name] as TrackerSnapshot | undefined
    const tally = head?.tallies?.read[name] as TallySnapshot | undefined
    // Positions of a queue are good for one subscription only.
    const position = bound.adapter.capabilities.positions === 'log' ? head?.positions[name] : undefined
    const input = new PartitionInput(bound, partition, view.topic(name), position, snapshot, marks, tally)
    input.start = head?.starts?.[name]
    input.skips = head?.skips?.[name] ?? []
    return input
  })
}

/** The outputs of a task as its last commit left them. */
export function openOutputs(
  { store, to, stage }: Pick<StageRuntime, 'store' | 'to' | 'stage'>,
  producer: ProducerId,
  head: Head | undefined
): OutputBuffer {
  // Outputs sent before the commit have an identity of this life only: their sequences start anew.
  const kept = store.outputs === 'before' ? undefined : head
  const sent = kept?.tallies?.sent as SentTallies | undefined
  return new OutputBuffer(producer, to, kept?.sequences as Sequences | undefined, sent, stage.side)
}

/** The head of a commit of a task that reads. */
export function headOf(
  inputs: readonly PartitionInput[],
  outputs: OutputBuffer,
  counts: MutableCounts,
  watermark: number,
  completion: Completion | undefined,
  context: Pick<HandlerContext, 'quiet' | 'settled'>
): Head {
  const quiet = context.quiet?.left(context.settled)
  if (!quiet) context.quiet = undefined
  const trackers: Record<string, unknown> = {}
  const positions: Record<string, string> = {}
  const read: Record<string, TallySnapshot> = {}
  const starts: Record<string, StartAt> = {}
  const skips: Record<string, readonly Skip[]> = {}
  for (const input of inputs) {
    const { bound, tracker, tally, position } = input
    const { name } = bound.topic
    input.skips = ahead(input.skips, position, tracker.watermark, bound.adapter)
    if (input.skips.length > 0) skips[name] = input.skips
    trackers[name] = tracker.snapshot()
    read[name] = tally.snapshot()
    if (position !== undefined) positions[name] = position
    else if (input.start !== undefined) starts[name] = input.start
  }
  return {
    positions,
    ...(Object.keys(starts).length > 0 && { starts }),
    ...(Object.keys(skips).length > 0 && { skips }),
    ...(quiet && { quiet }),
    trackers,
    sequences: outputs.sequences(),
    watermark: toSnapshot(watermark),
    counts: { ...counts, emitted: counts.emitted + outputs.records.length },
    tallies: { read, sent: outputs.tallies() },
    ...(completion && { intervals: completion.snapshot() })
  }
}

/** What the vitals say of the inputs. */
export function inputVitals(inputs: readonly PartitionInput[]): Map<string, InputVitals> {
  return new Map(inputs.map(({ bound, partition, tally }) => [bound.topic.name, { partition, read: tally.snapshot() }]))
}
