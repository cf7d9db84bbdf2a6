import { StreamError } from '../../core/errors.ts'
import type { AnyTopic } from '../../core/topic.ts'
import { pipeline, type Pipeline, type Stage } from '../definitions.ts'

export interface ShadowOptions {
  /** Ends the names: pipeline `totals` is `totals-v2`, and topic `sums`, which it writes, `sums.v2`. */
  readonly suffix: string
  /** Names of the stages that it has. Default: the processors. Sources and sinks reach what is outside, and are left out. */
  readonly stages?: readonly string[]
}

/**
 * The same stages as a pipeline of another name that writes to topics of its own, beside the one that runs: positions, state and
 * producers are its own, and what it reads and does not write are the topics as they are. Handlers see the names that they know.
 * Missing topics are created with the partitions of those that they stand for.
 *
 * @example
 * const trial = shadow(app, { suffix: 'v2' })
 * await client.admin.replay(trial, { from: { time: yesterday }, state: 'reset' })
 * await client.run(trial, { signal })
 */
export function shadow({ name, stages: all }: Pipeline, { suffix, stages }: ShadowOptions): Pipeline {
  if (!/^[A-Za-z0-9_-]{1,30}$/.test(suffix))
    throw new StreamError('bad-config', `shadow: suffix '${suffix}' must be 1 to 30 of A-Z a-z 0-9 _ -`)
  const known = all.map(stage => stage.name)
  for (const wanted of stages ?? [])
    if (!known.includes(wanted))
      throw new StreamError(
        'bad-config',
        `shadow: pipeline '${name}' has no stage '${wanted}'; known are ${known.join(', ')}`
      )
  const taken = all.filter(stage => (stages ? stages.includes(stage.name) : stage.kind === 'processor'))
  if (taken.length === 0)
    throw new StreamError(
      'bad-config',
      `shadow: pipeline '${name}' has no processor: name the stages that it is to have`
    )
  const written = new Map<AnyTopic, AnyTopic>()
  for (const stage of taken) for (const topic of stage.to) written.set(topic, shadowTopic(topic, suffix))
  const renamed = (topic: AnyTopic): AnyTopic => written.get(topic) ?? topic
  return pipeline(
    `${name}-${suffix}`,
    taken.map((stage): Stage => ({
      ...stage,
      from: stage.from.map(renamed),
      to: stage.to.map(renamed),
      side: stage.side && renamed(stage.side)
    }))
  )
}

/** The topic that a shadow run writes in place of another one, to compare the two, or to read it. */
export function shadowTopic<Of extends AnyTopic>(topic: Of, suffix: string): Of {
  return { ...topic, name: `${topic.name}.${suffix}`, called: topic.called ?? topic.name }
}
