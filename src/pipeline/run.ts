import { parkedTopic, Sender, type BoundTopic } from '../broker/index.ts'
import { abortedError, deadlineIn, unlessAborted } from '../core/environment.ts'
import { StreamError } from '../core/errors.ts'
import type { Tracing } from '../core/tracing.ts'
import { OutputsFirst, type CommitStore } from '../exactly-once/index.ts'
import { unwatched, type RunHealth } from '../health/index.ts'
import type { AnyAdapter } from '../spec/index.ts'
import { LocalTasks } from './aligner.ts'
import { announcements } from './announcements.ts'
import type { Pipeline, SourceStage, Stage } from './definitions.ts'
import { groupName } from './identity.ts'
import { policyOf } from './failure-policy.ts'
import { cameUp, lasting } from './lasting.ts'
import { processorLogic } from './logic.ts'
import type { ClientStore } from './open-store.ts'
import type { RunSettings } from './settings.ts'
import { openSink, type OpenSink } from './sink-logic.ts'
import { SourceStageRunner } from './source-stage-runner.ts'
import { assertShape, commitsInBroker, coPartitioned, keepsKeys, oneBroker } from './stage-shape.ts'
import { StageRunner } from './stage-runner.ts'
import { changelogPartitions, openBrokerStore, openRelay, standbyBytes } from './stage-store.ts'
import { bindState } from './state-codecs.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { ensureGroup, ensureParked, resolveTopic, type TopicResolver } from './topics.ts'
import { VitalsOutlets, type VitalsOutlet } from './vitals-outlets.ts'
import { VitalsPublisher } from './vitals-publisher.ts'
import { ensureVitals } from './vitals-topic.ts'
import { VitalsView } from './vitals-view.ts'

/** What a client gives to a run. */
export interface RunHost extends TopicResolver {
  /** `either`: in the broker where a stage stays on one cluster with transactions, else in the store. */
  readonly commitIn: 'broker' | 'store' | 'either'
  /** The store of the client, opened when it is first needed: leases of sources, and commits. */
  openStore(): Promise<ClientStore>
  readonly tracing?: Tracing | undefined
}

interface Runner {
  run(): Promise<void>
  stop(): void
}

/**
 * Runs a pipeline at this worker until it is stopped, fails, or has come to the end of its sources. The one place where
 * the parts are put together: reader -> input -> process -> outputs -> commit, a runner per stage.
 */
export function runPipeline(
  host: RunHost,
  pipeline: Pipeline,
  settings: RunSettings,
  signal?: AbortSignal,
  health: RunHealth = unwatched(pipeline.name, host.environment, settings)
): Promise<void> {
  return lasting(() => runOnce(host, pipeline, settings, signal, health), host.environment, health, signal)
}

async function runOnce(
  host: RunHost,
  pipeline: Pipeline,
  settings: RunSettings,
  signal: AbortSignal | undefined,
  health: RunHealth
): Promise<void> {
  const trying = { signal, onRetry: (_: number, error: unknown) => health.tried(error) }
  const run = new Run({ ...host, trying }, pipeline, settings, health)
  const draining = (): void => health.enter('draining')
  signal?.addEventListener('abort', draining, { once: true })
  try {
    if (!(await cameUp(run, host.environment, settings.drainTimeout, signal))) return
    health.enter('running')
    await run.finish(signal)
  } finally {
    signal?.removeEventListener('abort', draining)
    await run.close()
  }
}

class Run {
  readonly #host: RunHost
  readonly #pipeline: Pipeline
  readonly #settings: RunSettings
  readonly #health: RunHealth
  readonly #topics = new Map<string, BoundTopic>()
  readonly #senders = new Map<AnyAdapter, Sender>()
  readonly #publishers = new Map<AnyAdapter, VitalsPublisher>()
  readonly #views = new Map<AnyAdapter, VitalsView>()
  readonly #sinks: OpenSink[] = []
  readonly #runners: Runner[] = []

  constructor(host: RunHost, pipeline: Pipeline, settings: RunSettings, health: RunHealth) {
    this.#health = health
    this.#host = host
    this.#pipeline = pipeline
    this.#settings = settings
  }

  /** Checks everything, creates what is missing, announces the tasks; nothing is read or written before this is done. */
  async start(): Promise<void> {
    for (const stage of this.#pipeline.stages) {
      for (const topic of [...stage.from, ...stage.to]) {
        const known = this.#topics.get(topic.name)
        if (known && known.topic !== topic)
          throw new StreamError(
            'bad-config',
            `pipeline '${this.#pipeline.name}' has two different definitions of topic '${topic.name}': share one`
          )
        if (known) continue
        this.#topics.set(topic.name, await resolveTopic(this.#host, topic))
        this.#gotOn()
      }
    }
    const stages: (() => Promise<Runner>)[] = []
    for (const stage of this.#pipeline.stages) {
      stages.push(await this.#prepare(stage))
      this.#gotOn()
    }
    // Every view was opened and every task announced before the first of them starts.
    for (const view of this.#views.values()) await view.refresh()
    for (const start of stages) this.#runners.push(await start())
  }

  /** Resolves after a clean end; rejects with the first fatal error, after the other stages have drained. */
  async finish(signal?: AbortSignal): Promise<void> {
    let failure: unknown
    const stop = (): void => {
      for (const runner of this.#runners) runner.stop()
    }
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop, { once: true })
    const ended = this.#runners.map(runner =>
      runner.run().catch(error => {
        failure ??= error
        stop()
      })
    )
    await Promise.all(ended)
    signal?.removeEventListener('abort', stop)
    if (failure) throw failure
  }

  /** Closes what is there by now: also while it starts, which then comes to its end. */
  async close(): Promise<void> {
    for (const publisher of this.#publishers.values()) await publisher.close()
    for (const view of this.#views.values()) await view.close()
    const impatient = new AbortController()
    const deadline = deadlineIn(this.#host.environment, this.#settings.drainTimeout)
    void deadline.reached.then(() => impatient.abort())
    for (const sender of this.#senders.values()) await sender.close(impatient.signal)
    deadline.cancel()
    for (const sink of this.#sinks.splice(0)) await sink.close()
  }

  #gotOn(): void {
    const { signal } = this.#host.trying ?? {}
    if (signal?.aborted) throw abortedError(signal)
    this.#health.answered()
  }

  async #prepare(stage: Stage): Promise<() => Promise<Runner>> {
    const bound = (topics: Stage['from']): BoundTopic[] => topics.map(topic => this.#topics.get(topic.name)!)
    const from = bound(stage.from)
    const to = bound(stage.to)
    const adapter = oneBroker(stage, from) ?? to[0]!.adapter
    const splits = stage.kind === 'source' ? await (stage.options.splits?.() ?? ['main']) : []
    const tasks = stage.kind === 'source' ? splits.length : coPartitioned(stage, from)
    const { environment, trying } = this.#host
    const group = groupName(this.#pipeline.name, stage.name)
    for (const input of from) {
      // Before any stage writes: a queue keeps nothing for readers that it does not know.
      await ensureGroup(input.adapter, environment, group, input.topic.name, trying)
      if (policyOf(stage.failure).then === 'park') await ensureParked(input, environment, trying)
    }

    const sink = stage.kind === 'sink' ? await openSink(stage, environment) : undefined
    if (sink) this.#sinks.push(sink)
    const store = sink?.store ?? (await this.#storeFor(stage, adapter, [...from, ...to], tasks))
    await assertShape(this.#pipeline.name, stage, from, store, () => this.#host.openStore(), environment, trying)
    const sender = (topic: string): Sender => this.#sender(topic)
    const relay = await openRelay(this.#host, this.#pipeline.name, stage, [...from, ...to], store, tasks, sender)
    const outlets = await this.#outlets(to, adapter)
    const vitals = new VitalsOutlets(outlets)
    const shared = {
      pipeline: this.#pipeline.name,
      environment: this.#host.environment,
      settings: this.#settings,
      from,
      to,
      adapter,
      tasks,
      tracing: this.#host.tracing,
      health: this.#health,
      leases: () => this.#host.openStore(),
      relay,
      vitals,
      local: new LocalTasks(stage, environment),
      view: await this.#view(adapter),
      peers: outlets[0]!.view
    }
    // Where outputs go before the commit, identities are of one life only, and each task announces itself.
    const announced = store !== 'group' && store.outputs !== 'before'
    if (announced) await vitals.announceNew(announcements(this.#pipeline.name, stage, splits, tasks))

    if (stage.kind === 'source') {
      const leases = await this.#host.openStore()
      const runtime: StageRuntime<SourceStage> = { ...shared, stage, store: store as CommitStore }
      return async () => new SourceStageRunner(runtime, leases, splits)
    }
    if (stage.kind === 'sink') return async () => new StageRunner({ ...shared, stage, store }, () => sink!.logic())
    const typed = { ...shared, stage: await bindState(stage, this.#pipeline.name, this.#host.registry), store }
    return async () => new StageRunner(typed, processorLogic(stage, environment))
  }

  async #storeFor(
    stage: Stage,
    adapter: AnyAdapter,
    topics: readonly BoundTopic[],
    tasks: number
  ): Promise<CommitStore | 'group'> {
    const atLeastOnce = this.#settings.guarantee === 'at-least-once'
    if (atLeastOnce && stage.kind !== 'source' && !keepsKeys(stage)) return 'group'
    const store = await this.#exactStore(stage, adapter, topics, tasks)
    return atLeastOnce ? new OutputsFirst(store) : store
  }

  /** The broker's own transactions where everything is on one cluster that has them, else the store of the client. */
  async #exactStore(
    stage: Stage,
    adapter: AnyAdapter,
    topics: readonly BoundTopic[],
    tasks: number
  ): Promise<CommitStore> {
    const { commitIn } = this.#host
    if (!commitsInBroker(commitIn, adapter, topics)) {
      if (commitIn === 'broker')
        throw new StreamError(
          'unsupported',
          `stage '${stage.name}' cannot commit in its broker: that takes transactions, and all its topics on one cluster; leave \`store\` out to commit to a database`
        )
      return this.#host.openStore()
    }
    const bytes = standbyBytes(this.#settings, stage)
    const partitions = changelogPartitions(stage, tasks)
    return openBrokerStore(this.#host, adapter, this.#pipeline.name, stage.name, partitions, bytes)
  }

  #sender(topic: string): Sender {
    const adapter = (this.#topics.get(topic) ?? this.#parkedOrigin(topic)).adapter
    let sender = this.#senders.get(adapter)
    if (!sender) this.#senders.set(adapter, (sender = new Sender(adapter, this.#host.environment, true)))
    return sender
  }

  #parkedOrigin(topic: string): BoundTopic {
    for (const bound of this.#topics.values()) if (parkedTopic(bound.topic.name) === topic) return bound
    throw new StreamError('internal', `nothing is known of topic '${topic}'`)
  }

  /** The vitals of the brokers that a stage writes to; of one that writes nothing, of the broker that it reads. */
  async #outlets(to: readonly BoundTopic[], adapter: AnyAdapter): Promise<VitalsOutlet[]> {
    const topics = new Map<AnyAdapter, Set<string>>(to.length === 0 ? [[this.#vitalsOf(adapter), new Set()]] : [])
    for (const bound of to) {
      const carrier = this.#vitalsOf(bound.adapter)
      topics.set(carrier, (topics.get(carrier) ?? new Set()).add(bound.topic.name))
    }
    const outlets: VitalsOutlet[] = []
    for (const [carrier, names] of topics)
      outlets.push({ publisher: await this.#publisher(carrier), view: await this.#view(carrier), topics: names })
    return outlets
  }

  #vitalsOf(adapter: AnyAdapter): AnyAdapter {
    return this.#host.vitalsBroker ?? adapter
  }

  /** @param of the broker whose producers report */
  async #publisher(of: AnyAdapter): Promise<VitalsPublisher> {
    const adapter = this.#vitalsOf(of)
    let publisher = this.#publishers.get(adapter)
    if (publisher) return publisher
    const { environment, trying } = this.#host
    await ensureVitals(adapter, environment, trying)
    publisher = new VitalsPublisher(adapter, environment, this.#settings.vitalsInterval, trying)
    this.#publishers.set(adapter, publisher)
    return publisher
  }

  async #view(of: AnyAdapter): Promise<VitalsView> {
    const adapter = this.#vitalsOf(of)
    let view = this.#views.get(adapter)
    if (view) return view
    const publisher = await this.#publisher(adapter)
    const { environment, trying } = this.#host
    this.#views.set(adapter, (view = new VitalsView(adapter, environment, publisher)))
    await unlessAborted(view.open(trying?.onRetry), trying?.signal)
    return view
  }
}
