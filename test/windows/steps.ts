import fc from 'fast-check'
import type { Step } from './task.ts'

export interface StepsOptions {
  readonly topics?: readonly string[]
  /** May timers fall behind the watermark? */
  readonly busy?: boolean
  /** Of a hundred records, so many may lie behind the watermark. */
  readonly behind?: number
}

/** How often a property is tried: `TIDEMARK_RUNS` says more. A failure prints its seed. */
export const runs: number = Number(process.env['TIDEMARK_RUNS'] ?? 300)

/**
 * What may happen to a task: records in any order, on time or behind the watermark by a little or a lot, small and large
 * steps of the watermark, commits, crashes, attempts that are undone. Each record has a number of its own as value.
 */
export function anySteps({ topics = [], behind = 40, busy = false }: StepsOptions = {}): fc.Arbitrary<Step[]> {
  const send = fc.record({
    do: fc.constant('send' as const),
    key: fc.constantFrom('a', 'b'),
    ahead: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 60 })),
    back: fc.oneof(
      { weight: 100 - behind, arbitrary: fc.constant(0) },
      { weight: behind, arbitrary: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 100 })) }
    ),
    topic: topics.length > 0 ? fc.constantFrom(...topics) : fc.constant(undefined)
  })
  const advance = fc.record({
    do: fc.constant('advance' as const),
    fires: busy ? fc.integer({ min: 0, max: 3 }) : fc.constant(undefined),
    by: fc.oneof(fc.integer({ min: 1, max: 15 }), fc.integer({ min: 30, max: 200 }))
  })
  const other = fc.record({
    do: fc.constantFrom('commit' as const, 'commit' as const, 'crash' as const, 'fail' as const, 'park' as const)
  })
  const step = fc.oneof(
    { weight: 6, arbitrary: send },
    { weight: 3, arbitrary: advance },
    { weight: 3, arbitrary: other }
  )
  return fc.tuple(fc.boolean(), fc.array(step, { maxLength: 60, size: 'max' })).map(([known, drawn]) => {
    // Around zero, so that times below it are met. The watermark may be unknown at first.
    let watermark = known ? -50 : -Infinity
    const steps: Step[] = known ? [{ do: 'advance', to: watermark }] : []
    for (const [index, item] of drawn.entries()) {
      const now = watermark === -Infinity ? -50 : watermark
      if (item.do === 'advance') {
        watermark = now + item.by
        steps.push({ do: 'advance', to: watermark, ...(item.fires !== undefined && { fires: item.fires }) })
      } else if (item.do === 'send') {
        const { key, topic, ahead, back } = item
        steps.push({ do: 'send', key, time: now + (back > 0 ? -back : ahead), value: index, ...(topic && { topic }) })
      } else steps.push(item)
    }
    return steps
  })
}

/** Every step that counts, with the watermark before it: not the records that were given up. Crashes and commits change nothing. */
export function* replay(
  steps: readonly Step[]
): Generator<
  (Extract<Step, { do: 'send' }> & { index: number; watermark: number }) | { do: 'advance'; from: number; to: number }
> {
  let watermark = -Infinity
  for (const [index, step] of steps.entries()) {
    if (step.do === 'send' && steps[index + 1]?.do === 'park') continue
    if (step.do === 'send') yield { ...step, index, watermark }
    else if (step.do === 'advance' && step.to > watermark) {
      yield { do: 'advance', from: watermark, to: step.to }
      watermark = step.to
    }
  }
}
