import type { BoundTopic } from '../../broker/index.ts'
import { sleep } from '../../core/environment.ts'
import { StreamError } from '../../core/errors.ts'
import type { LogReader } from '../../spec/index.ts'
import type { Stage } from '../definitions.ts'
import { groupName } from '../identity.ts'
import { openGroupReader } from '../leased-reader.ts'
import type { RunHost } from '../run.ts'
import { VitalsView } from '../vitals-view.ts'
import { ensureVitals } from '../vitals-topic.ts'

/** Tasks report once a second by default: who is heard within this runs, ms. */
const listening = 2_500
const lookEvery = 100

export interface Held {
  readonly pipeline: string
  readonly stage: Stage
  readonly from: readonly BoundTopic[]
  readonly sessionTimeout: number
  readonly signal: AbortSignal | undefined
}

/**
 * Nobody else runs these stages: none of their tasks reports, and every partition of their groups is ours for as long as
 * it takes. That spares a running pipeline a surprise; what keeps commits apart is the fence. Rejects with `not-owner`.
 */
export async function holdStages(host: RunHost, stages: readonly Held[]): Promise<() => Promise<void>> {
  const readers: LogReader[] = []
  const release = async (): Promise<void> => {
    for (const reader of readers) await reader.close()
  }
  try {
    await assertSilent(host, stages)
    for (const stage of stages) readers.push(await hold(host, stage))
    return release
  } catch (error) {
    await release().catch(() => {})
    throw error
  }
}

async function assertSilent(host: RunHost, stages: readonly Held[]): Promise<void> {
  const { environment } = host
  const adapter = host.vitalsBroker ?? stages[0]!.from[0]!.adapter
  await ensureVitals(adapter, environment)
  const view = new VitalsView(adapter, environment)
  try {
    await view.open()
    const before = new Map(view.tasks)
    for (let waited = 0; waited < listening; waited += lookEvery) {
      await sleep(environment, lookEvery, stages[0]!.signal)
      for (const [task, vitals] of view.tasks) {
        const [pipeline, stage] = task.split('/')
        const held = stages.find(each => each.pipeline === pipeline && each.stage.name === stage)
        if (held && vitals !== before.get(task)) throw running(held, `task '${task}' reports`)
      }
    }
  } finally {
    await view.close()
  }
}

async function hold(host: RunHost, held: Held): Promise<LogReader> {
  const { pipeline, stage, from, sessionTimeout, signal } = held
  const { environment } = host
  const [{ adapter, partitions }] = from as readonly [BoundTopic, ...BoundTopic[]]
  const topics = from.map(({ topic }) => topic.name)
  const options = { group: groupName(pipeline, stage.name), topics, sessionTimeout, maxBytes: 1024 * 1024 }
  const reader = await openGroupReader(adapter, environment, () => host.openStore(), options, partitions)
  const ours = new Set<string>()
  const wanted = partitions * topics.length
  // Whoever has crashed keeps its partitions for its session.
  const deadline = environment.monotonic() + sessionTimeout + 5_000
  try {
    while (ours.size < wanted) {
      if (environment.monotonic() > deadline)
        throw running(held, `others hold ${wanted - ours.size} of its ${wanted} partitions`)
      for (const event of await reader.receive({ wait: 250, ...(signal && { signal }) })) {
        if (event.kind === 'records') continue
        for (const { topic, partition } of event.partitions)
          if (event.kind === 'partitions-assigned') ours.add(`${partition} ${topic}`)
          else ours.delete(`${partition} ${topic}`)
        if (event.kind === 'partitions-revoked') event.release()
      }
    }
    return reader
  } catch (error) {
    await reader.close().catch(() => {})
    throw error
  }
}

function running({ pipeline, stage }: Held, how: string): StreamError {
  return new StreamError(
    'not-owner',
    `stage '${stage.name}' of pipeline '${pipeline}' is running (${how}): stop its workers first, or replay a shadow of it`
  )
}
