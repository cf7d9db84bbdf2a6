import { hasCode, withRetry } from '../broker/index.ts'
import { sleep, type Environment } from '../core/environment.ts'
import type { AnyAdapter, PartitionReader } from '../spec/index.ts'
import { decodeVitals, TopicMembership, vitalsTopic, type Vitals } from '../watermark/index.ts'

/** How long a plain producer may be silent before its hold on the watermark is lifted, ms. */
const lease = 30_000

/** The announcement of a task that is known already says that it goes on, and nothing of how far it was. */
function newest(known: Vitals | undefined, vitals: Vitals): Vitals {
  if (known?.producer !== vitals.producer) return vitals
  if (vitals.state === 'joining') return { ...known, state: 'joining' }
  return vitals.commit < known.commit ? known : vitals
}

/**
 * What the vitals topic of one broker says, kept up to date in the background. One per run and broker: every stage asks
 * this one.
 */
export class VitalsView {
  /** Task id -> its last report. */
  readonly tasks: Map<string, Vitals> = new Map()
  readonly #adapter: AnyAdapter
  readonly #environment: Environment
  readonly #topics = new Map<string, TopicMembership>()
  readonly #listeners = new Set<() => void>()
  readonly #abort = new AbortController()
  #reader: PartitionReader | undefined
  #loop: Promise<void> | undefined
  #refreshers: { resolve: () => void; reject: (error: unknown) => void; rounds: number }[] = []
  #interrupt: AbortController | undefined
  #failure: unknown

  constructor(adapter: AnyAdapter, environment: Environment) {
    this.#adapter = adapter
    this.#environment = environment
  }

  /** Reads to the end, then goes on in the background. */
  async open(): Promise<void> {
    this.#loop = this.#run().catch(error => {
      this.#failure = error
      for (const { reject } of this.#refreshers.splice(0)) reject(error)
    })
    await this.refresh()
  }

  topic(name: string): TopicMembership {
    let membership = this.#topics.get(name)
    if (!membership) {
      this.#topics.set(name, (membership = new TopicMembership()))
      for (const vitals of this.tasks.values()) membership.report(vitals, name, this.#environment.monotonic())
      // The view is complete by the time anyone may ask.
      membership.markComplete()
    }
    return membership
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves when everything reported before this call has been taken in. */
  refresh(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      // A receive under way may have begun before the report was written: only the next one counts.
      this.#refreshers.push({ resolve, reject, rounds: this.#interrupt ? 2 : 1 })
      this.#interrupt?.abort()
    })
  }

  async close(): Promise<void> {
    this.#abort.abort()
    this.#interrupt?.abort()
    await this.#loop
    await this.#reader?.close().catch(() => {})
    for (const { resolve } of this.#refreshers.splice(0)) resolve()
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      try {
        this.#reader ??= await this.#openReader(signal)
        await this.#receive(this.#reader)
      } catch (error) {
        if (signal.aborted) return
        if (hasCode(error, 'aborted')) continue
        if (!this.#adapter.classify(error).retryable) throw error
        // The reports merge upwards, so reading them again from the start does no harm.
        await this.#reader?.close().catch(() => {})
        this.#reader = undefined
        await sleep(this.#environment, 250, signal).catch(() => {})
      }
    }
  }

  #openReader(signal: AbortSignal): Promise<PartitionReader> {
    const adapter = this.#adapter
    return withRetry({ adapter, environment: this.#environment, doing: `opening '${vitalsTopic}'`, signal }, () =>
      adapter.partitionReader!({ topic: vitalsTopic, partition: 0, from: 'earliest', readCommitted: false, maxBytes: 1024 * 1024 })
    )
  }

  async #receive(reader: PartitionReader): Promise<void> {
    this.#interrupt = new AbortController()
    const waiting = this.#refreshers.length > 0
    try {
      const { records, atEnd } = await reader.receive({ wait: waiting ? 0 : 500, signal: this.#interrupt.signal })
      for (const record of records) if (record.value) this.#report(record.value)
      let news = records.length > 0
      for (const membership of this.#topics.values()) news = membership.liftSilent(this.#environment.monotonic() - lease) || news
      if (atEnd) this.#atEnd()
      if (news) for (const listener of this.#listeners) listener()
    } finally {
      this.#interrupt = undefined
    }
  }

  #report(value: Uint8Array): void {
    let vitals: Vitals
    try {
      vitals = decodeVitals(value)
    } catch {
      return // of a newer release, or not ours: it holds nobody
    }
    this.tasks.set(vitals.task, newest(this.tasks.get(vitals.task), vitals))
    const now = this.#environment.monotonic()
    for (const topic of vitals.outputs.keys()) this.topic(topic).report(vitals, topic, now)
  }

  #atEnd(): void {
    const waiting = this.#refreshers
    this.#refreshers = []
    for (const refresher of waiting) {
      if (--refresher.rounds <= 0) refresher.resolve()
      else this.#refreshers.push(refresher)
    }
  }
}
