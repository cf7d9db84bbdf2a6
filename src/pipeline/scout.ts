import { hasCode } from '../broker/index.ts'
import type { Place, Pulse, StagePulse } from '../health/index.ts'
import type { PartitionReader, StartAt } from '../spec/index.ts'
import type { StageRuntime } from './stage-runtime.ts'
import { groupName } from './identity.ts'

/** Time for one record to arrive, ms, and how often that is waited for. */
const wait = 1_000
const attempts = 3

interface Suspicion {
  readonly progress: number
  /** Since when it has been quiet, monotonic ms. */
  readonly since: number
  lookedAt: number
  /** What made for a look in vain: the same is no reason for another. */
  vain?: string
}

/**
 * Finds the readers that are alive and get nothing though records are there: the complaint about every client library. What
 * producers and brokers say of a backlog is a suspicion only: records expire, are compacted, or were never committed. So a
 * task that has been quiet for half of `stalledAfter` while something seems to wait is checked by reading its next record
 * beside it. A queue cannot be read beside: there a backlog that grows must do.
 */
export class Scout {
  readonly #runtime: Omit<StageRuntime, 'store'>
  readonly #stage: StagePulse
  readonly #suspicions = new Map<Pulse, Suspicion>()
  #busy = false

  constructor(runtime: Omit<StageRuntime, 'store'>, stage: StagePulse) {
    this.#runtime = runtime
    this.#stage = stage
  }

  /** Looks from now on, for as long as the run is up. */
  start(): void {
    this.#runtime.health.onScout(() => {
      if (this.#busy) return
      this.#busy = true
      // What cannot be found out is no finding: a broker that is away is told of elsewhere.
      void this.#round()
        .catch(() => {})
        .finally(() => (this.#busy = false))
    })
  }

  async #round(): Promise<void> {
    const now = this.#runtime.environment.monotonic()
    const { stalledAfter } = this.#runtime.settings
    const tasks = [...this.#stage.tasks.values()]
    for (const known of this.#suspicions.keys()) if (!tasks.includes(known)) this.#suspicions.delete(known)
    let backlogs: Map<string, number> | undefined
    for (const pulse of tasks) {
      const before = this.#suspicions.get(pulse)
      if (!pulse.isQuiet || before?.progress !== pulse.progress) {
        this.#suspicions.set(pulse, { progress: pulse.progress, since: now, lookedAt: now })
        continue
      }
      if (pulse.found || now - before.since < stalledAfter / 2 || now - before.lookedAt < stalledAfter / 4) continue
      before.lookedAt = now
      backlogs ??= await this.#backlogs()
      const load = pulse.load?.()
      if (!load) continue
      const pending = load.pending()
      const { places } = load
      const behind = places.reduce((sum, place) => sum + (backlogs!.get(keyOf(place)) ?? 0), 0)
      if (pending + behind > 0) await this.#check(pulse, before, places, `${pending} ${behind}`, pending)
    }
  }

  async #check(
    pulse: Pulse,
    suspicion: Suspicion,
    places: readonly Place[],
    reason: string,
    pending: number
  ): Promise<void> {
    if (suspicion.vain === reason) return
    const { adapter } = this.#runtime
    let found = false
    if (adapter.partitionReader && adapter.capabilities.positions === 'log')
      for (const place of places) found ||= await this.#hasMore(place)
    // The first number is no proof: what it counts may have expired long ago.
    else found = suspicion.vain !== undefined && pending > Number(suspicion.vain.split(' ')[0])
    if (!found) suspicion.vain = reason
    else if (pulse.isQuiet && pulse.progress === suspicion.progress) pulse.found = true
  }

  /** Is there a record behind the last one that was processed? */
  async #hasMore({ topic, partition, position }: Place): Promise<boolean> {
    const { adapter } = this.#runtime
    const open = (from: StartAt): Promise<PartitionReader> =>
      adapter.partitionReader!({ topic, partition, from, readCommitted: true, maxBytes: 65_536 })
    const reader = await open(position === undefined ? 'earliest' : { after: position }).catch(error => {
      // Retention has passed it by: then all that is left is behind it.
      if (adapter.classify(error).code === 'position-lost') return open('earliest')
      throw error
    })
    try {
      for (let attempt = 1; attempt <= attempts; attempt++) {
        const { records, atEnd } = await reader.receive({ wait })
        if (records.length > 0) return true
        if (atEnd) break
      }
      // Nothing that anybody could read: transactions that are open, or aborted.
      return false
    } finally {
      await reader.close()
    }
  }

  /** Records that the broker counts, by place: of groups it knows what they have committed. */
  async #backlogs(): Promise<Map<string, number>> {
    const { adapter, pipeline, stage, from } = this.#runtime
    const admin = adapter.admin()
    try {
      const topics = from.map(({ topic }) => topic.name)
      const rows = adapter.capabilities.groups
        ? await admin.backlog(groupName(pipeline, stage.name), topics)
        : (await Promise.all(topics.map(topic => admin.behind?.(topic, this.#positions(topic)) ?? []))).flat()
      return new Map(rows.map(row => [keyOf(row), row.records]))
    } catch (error) {
      if (hasCode(error, 'unsupported')) return new Map()
      throw error
    } finally {
      await admin.close()
    }
  }

  #positions(topic: string): (string | undefined)[] {
    const bound = this.#runtime.from.find(each => each.topic.name === topic)!
    const positions: (string | undefined)[] = Array.from({ length: bound.partitions })
    for (const pulse of this.#stage.tasks.values())
      for (const place of pulse.load?.().places ?? [])
        if (place.topic === topic) positions[place.partition] = place.position
    return positions
  }
}

const keyOf = ({ topic, partition }: { readonly topic: string; readonly partition: number }): string =>
  `${partition} ${topic}`
