import { Sender, type BoundTopic } from '../../broker/index.ts'
import { StreamError } from '../../core/errors.ts'
import type { Position } from '../../core/record.ts'
import type { CommitStore } from '../../exactly-once/index.ts'
import type { AnyAdapter } from '../../spec/index.ts'
import { Committer, FencedSignal } from '../committer.ts'
import type { Pipeline, ProcessorStage, SinkStage } from '../definitions.ts'
import { groupPositions } from '../group-positions.ts'
import { durableProducer, groupName, taskName } from '../identity.ts'
import { StageRelay } from '../relay.ts'
import type { RunHost } from '../run.ts'
import { openSink, type OpenSink } from '../sink-logic.ts'
import { commitsInBroker, coPartitioned, keepsKeys, oneBroker } from '../stage-shape.ts'
import { openBrokerStore } from '../stage-store.ts'
import { ensureParked, resolveTopic } from '../topics.ts'
import { chosen, type ReplayOptions, type Rewound } from './options.ts'
import { assertLog } from './read-topic.ts'
import { ReplayTask, type InputChange } from './replay-task.ts'
import { holdStages, type Held } from './stage-hold.ts'
import { skipsOf, startOf } from './starts.ts'

interface Prepared extends Held {
  readonly stage: ProcessorStage | SinkStage
  readonly to: readonly BoundTopic[]
  readonly adapter: AnyAdapter
  readonly tasks: number
  readonly store: CommitStore
}

/**
 * Sets where the stages of a pipeline that does not run go on: back, or past what is to be left out. Each task in one commit, behind
 * its last one; broken off in between it is repeated as it is.
 */
export async function replay(host: RunHost, app: Pipeline, options: ReplayOptions): Promise<readonly Rewound[]> {
  const run = new Replay(host, app, options)
  try {
    return await run.all()
  } finally {
    await run.close()
  }
}

class Replay {
  readonly #host: RunHost
  readonly #app: Pipeline
  readonly #options: ReplayOptions
  readonly #sinks: OpenSink[] = []
  readonly #senders = new Map<AnyAdapter, Sender>()

  constructor(host: RunHost, app: Pipeline, options: ReplayOptions) {
    this.#host = host
    this.#app = app
    this.#options = options
  }

  async all(): Promise<readonly Rewound[]> {
    const stages: Prepared[] = []
    for (const stage of chosen(this.#app, this.#options)) stages.push(await this.#prepare(stage))
    const release = await holdStages(this.#host, stages)
    try {
      const done: Rewound[] = []
      for (const stage of stages) done.push(...(await this.#stage(stage)))
      return done
    } catch (error) {
      if (!(error instanceof FencedSignal)) throw error
      throw new StreamError(
        'fenced',
        `somebody has begun to run pipeline '${this.#app.name}' meanwhile: stop it, and replay again`
      )
    } finally {
      await release()
    }
  }

  async close(): Promise<void> {
    for (const sender of this.#senders.values()) await sender.close(AbortSignal.abort())
    for (const sink of this.#sinks) await sink.close()
  }

  async #prepare(stage: ProcessorStage | SinkStage): Promise<Prepared> {
    const { guarantee, sessionTimeout = 10_000, signal, skip = [] } = this.#options
    const from: BoundTopic[] = []
    for (const topic of stage.from) from.push(await resolveTopic(this.#host, topic))
    for (const bound of from) assertLog(bound)
    const to: BoundTopic[] = []
    for (const topic of stage.to) to.push(await resolveTopic(this.#host, topic))
    const adapter = oneBroker(stage, from)!
    const tasks = coPartitioned(stage, from)
    if (guarantee === 'at-least-once' && !keepsKeys(stage)) throw this.#positionsAlone(stage)
    if (skip.length > 0) for (const bound of from) await ensureParked(bound, this.#host.environment)
    const store = await this.#storeOf(stage, adapter, [...from, ...to], tasks)
    return { pipeline: this.#app.name, stage, from, to, adapter, tasks, store, sessionTimeout, signal }
  }

  async #storeOf(
    stage: Prepared['stage'],
    adapter: AnyAdapter,
    topics: readonly BoundTopic[],
    tasks: number
  ): Promise<CommitStore> {
    const { environment, commitIn } = this.#host
    if (stage.kind === 'sink') {
      const sink = await openSink(stage, environment)
      this.#sinks.push(sink)
      if (sink.store) return sink.store
    }
    if (commitsInBroker(commitIn, adapter, topics))
      return openBrokerStore(this.#host, adapter, this.#app.name, stage.name, tasks)
    return this.#host.openStore()
  }

  async #stage(prepared: Prepared): Promise<Rewound[]> {
    const groups = new Map<string, readonly (Position | undefined)[]>()
    for (const bound of prepared.from) groups.set(bound.topic.name, await this.#groupPositions(prepared, bound))
    const done: Rewound[] = []
    for (let partition = 0; partition < prepared.tasks; partition++)
      done.push(...(await this.#task(prepared, partition, groups)))
    return done
  }

  async #task(
    prepared: Prepared,
    partition: number,
    groups: ReadonlyMap<string, readonly (Position | undefined)[]>
  ): Promise<Rewound[]> {
    const { stage, store, adapter, from } = prepared
    const { state, outputs, dryRun } = this.#options
    const name = taskName(this.#app.name, stage.name, partition, partition)
    const task = new ReplayTask(durableProducer(name), state === 'reset', outputs === 'new')
    const { environment } = this.#host
    const sender = (topic: string): Sender => this.#sender(prepared, topic)
    const relay = new StageRelay({ environment, sender, partitions: prepared.tasks })
    const committer = new Committer({ store, environment, adapter, relay }, name, task)
    try {
      await committer.acquire()
      if (!task.head && [...groups.values()].some(positions => positions[partition] !== undefined))
        throw this.#positionsAlone(stage)
      const changes: InputChange[] = []
      for (const bound of from) {
        const start = await startOf(bound, partition, this.#options, task.positionOf(bound.topic.name))
        changes.push({ bound, start, skips: skipsOf(bound, partition, this.#options.skip ?? []) })
      }
      if (changes.every(({ start, skips }) => !start && skips.length === 0)) return []
      task.change(changes)
      const rows = task.gone().length
      const done = changes.map(({ bound, start }): Rewound => {
        const topic = bound.topic.name
        return {
          task: name.id,
          topic,
          partition,
          before: task.positionOf(topic),
          start: start?.at ?? 'unchanged',
          rows
        }
      })
      if (!dryRun) await committer.commit(0)
      await committer.drain(false)
      return done
    } finally {
      await committer.close()
    }
  }

  /** What the group has processed by its own account, where a stage commits there alone. */
  async #groupPositions({ stage, adapter }: Prepared, bound: BoundTopic): Promise<readonly (Position | undefined)[]> {
    const group = groupName(this.#app.name, stage.name)
    const store = (): ReturnType<RunHost['openStore']> => this.#host.openStore()
    if (adapter.capabilities.groups) return groupPositions(bound, group, store)
    const known = await (await store()).positions(group, bound.topic.name)
    return Array.from({ length: bound.partitions }, (_, partition) => known.get(partition))
  }

  /** Of outputs that are committed and perhaps not sent. */
  #sender({ from, to }: Prepared, topic: string): Sender {
    const bound = [...to, ...from].find(each => each.topic.name === topic)
    const adapter = bound?.adapter ?? from[0]!.adapter // a parked topic is beside its origin
    let sender = this.#senders.get(adapter)
    if (!sender) this.#senders.set(adapter, (sender = new Sender(adapter, this.#host.environment, true)))
    return sender
  }

  #positionsAlone({ name }: Prepared['stage']): StreamError {
    return new StreamError(
      'unsupported',
      `stage '${name}' of pipeline '${this.#app.name}' has committed nothing but the positions of its group '${groupName(this.#app.name, name)}' (at-least-once, without state): move those with the tools of the broker, or run it with exactly-once. If it runs with exactly-once, this is not its store`
    )
  }
}
