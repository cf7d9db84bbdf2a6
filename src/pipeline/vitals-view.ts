import { classified, hasCode, type Trying } from '../broker/index.ts'
import { deadlineIn, sleep, uuidv7, type Environment, type Timer } from '../core/environment.ts'
import type { AnyAdapter, PartitionReader } from '../spec/index.ts'
import {
  Clocks,
  decodeVitalsMessage,
  newest,
  silence,
  TopicMembership,
  type Vitals,
  type VitalsMessage
} from '../watermark/index.ts'
import { Deafness } from './deafness.ts'
import { Freshness } from './freshness.ts'
import { Refreshers } from './refreshers.ts'
import type { VitalsPublisher } from './vitals-publisher.ts'
import { isMissing, openVitals, restoreVitals } from './vitals-topic.ts'

/** On a queue: how long those who were here before have for telling us what they know, ms. */
const settling = 1_000
/** On a queue: how long we wait with an answer, ms; whoever is first answers for all. */
const politeness = 150
/** How long a read of the vitals waits for news, ms: where none comes, it is one to the end, and there is more than one in a round. */
const patience = 400
/** How long a task waits for word of a producer that nobody has told it of, ms; then it goes on, and time waits. */
const introduction = 1_000

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
  readonly #refreshers = new Refreshers()
  #interrupt: AbortController | undefined
  #failure: unknown
  /** Of a queue, which has no past: who we are when we ask, when each task was last heard, and an answer that is due. */
  readonly #queue: boolean
  readonly #name: string
  readonly #publisher: VitalsPublisher | undefined
  #onRetry: Trying['onRetry']
  readonly #heard = new Map<string, number>()
  readonly #repeated = new Set<string>()
  #answer: Timer | undefined
  readonly #clocks = new Clocks()
  readonly #deafness: Deafness
  /** What comes now has just been said: the past is read. */
  #live = false
  /** Topic -> producers of it that have written before we heard of them, and whom we are asking for. */
  readonly #meeting = new Map<string, number>()
  #isOpen = false
  readonly #freshness: Freshness
  /** The subscription was lost: what was said until the next one is not known yet. `asking`: it is being found out. */
  #missing: 'nothing' | 'something' | 'asking' = 'nothing'

  /** @param publisher on a queue: to ask by, and to answer */
  constructor(adapter: AnyAdapter, environment: Environment, publisher?: VitalsPublisher) {
    this.#adapter = adapter
    this.#environment = environment
    this.#publisher = publisher
    this.#deafness = new Deafness(environment)
    this.#queue = adapter.capabilities.positions === 'none'
    this.#freshness = new Freshness(environment, this.#topics, this.#queue, () => this.#tellListeners())
    this.#name = uuidv7(environment)
    // What this process says itself needs no way over a queue, which may lose it to us.
    if (this.#queue) publisher?.onAnnounced(reports => this.#takeAll({ kind: 'reports', repeated: false, reports }))
  }

  /** Reads to the end, then goes on in the background. On a queue it asks those who were here before. */
  async open(onRetry?: Trying['onRetry']): Promise<void> {
    this.#onRetry = onRetry
    this.#loop = this.#run().catch(error => {
      this.#failure = error
      this.#refreshers.fail(error)
    })
    await this.refresh()
    this.#isOpen = true
    this.#freshness.opened()
    if (!this.#queue || !this.#publisher) return
    await this.#publisher.ask(this.#name)
    await sleep(this.#environment, settling, this.#abort.signal).catch(() => {}) // closed already
    await this.refresh()
  }

  /** Since when its broker has not answered, monotonic ms: others may be well, they are not heard. */
  get deafSince(): number | undefined {
    return this.#deafness.since
  }

  #moment(): { now: number; monotonic: number } {
    return { now: this.#environment.now(), monotonic: this.#environment.monotonic() }
  }

  /** How far ahead of ours the clock of a task is, ms; `undefined` until it has been heard. */
  clockOf(task: string): number | undefined {
    return this.#clocks.aheadOf(task, this.#moment())
  }

  topic(name: string): TopicMembership {
    let membership = this.#topics.get(name)
    if (!membership) {
      this.#topics.set(name, (membership = new TopicMembership(!this.#queue)))
      for (const vitals of this.tasks.values()) membership.report(vitals, name, this.#heardAt(vitals))
      this.#freshness.tell(membership)
      // The view is complete by the time anyone may ask, unless it has missed something since.
      if (this.#missing === 'nothing') membership.markComplete()
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
    // A receive under way may have begun before the report was written: only the next one counts.
    const refreshed = this.#refreshers.wait(this.#interrupt ? 2 : 1)
    this.#interrupt?.abort()
    return refreshed
  }

  /**
   * A producer of this topic has written that nobody has told us of: what is said by now is read first (protocol H6). Who cannot
   * be heard cannot be waited for: then it goes on after a second, and the watermarks of the topic stay until it is heard.
   */
  async meet(topic: string): Promise<void> {
    this.topic(topic).markIncomplete()
    this.#meeting.set(topic, (this.#meeting.get(topic) ?? 0) + 1)
    const heard = this.refresh().then(
      () => {
        const others = this.#meeting.get(topic)! - 1
        if (others > 0) this.#meeting.set(topic, others)
        else this.#meeting.delete(topic)
        this.#completeAll()
      },
      () => {} // it is closed
    )
    const enough = deadlineIn(this.#environment, introduction)
    await Promise.race([heard, enough.reached])
    enough.cancel()
  }

  /** Everything that was said is read: time may go on, but for topics with strangers. */
  #completeAll(): void {
    if (this.#missing !== 'nothing') return
    for (const [name, membership] of this.#topics) if (!this.#meeting.has(name)) membership.markComplete()
    this.#tellListeners()
  }

  #tellListeners(): void {
    for (const listener of this.#listeners) listener()
  }

  async close(): Promise<void> {
    this.#abort.abort()
    this.#interrupt?.abort()
    this.#answer?.cancel()
    this.#freshness.close()
    await this.#loop
    await this.#reader?.close().catch(() => {})
    this.#refreshers.end()
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    for (let missed = 0; !signal.aborted;) {
      try {
        this.#reader ??= await openVitals(this.#adapter, this.#environment, { signal, onRetry: this.#onRetry })
        if (this.#missing === 'something') await this.#askAgain()
        await this.#receive(this.#reader)
      } catch (error) {
        if (signal.aborted) return
        if (hasCode(error, 'aborted')) continue
        // Whoever starts must know; whoever runs goes on without, whatever it is.
        // Another worker has made the topic a moment ago: not every broker of a cluster knows it at once. Ten seconds.
        const mayCome = isMissing(this.#adapter, error) && ++missed < 40
        if (!this.#isOpen && !mayCome && !this.#adapter.classify(error).retryable) throw error
        this.#onRetry?.(1, classified(this.#adapter, error, 'reading the vitals'))
        this.#deafness.failed()
        this.#live = false
        this.#clocks.forget()
        // The reports merge upwards, so reading them again from the start does no harm.
        await this.#reader?.close().catch(() => {})
        this.#reader = undefined
        if (this.#queue && this.#publisher) this.#miss()
        await restoreVitals(this.#adapter, this.#environment, error)
        await sleep(this.#environment, 250, signal).catch(() => {})
      }
    }
  }

  /** A queue gives nothing of the past to a new subscription: until others have told it, nobody's watermark may rise. */
  #miss(): void {
    this.#missing = 'something'
    for (const membership of this.#topics.values()) membership.markIncomplete()
  }

  async #askAgain(): Promise<void> {
    await this.#publisher!.ask(this.#name)
    this.#missing = 'asking'
    this.#environment.timer(
      settling,
      () => {
        if (this.#missing !== 'asking') return
        this.#missing = 'nothing'
        // Whoever waits for a refresh has waited for this.
        this.#interrupt?.abort()
        this.#completeAll()
      },
      true
    )
  }

  async #receive(reader: PartitionReader): Promise<void> {
    this.#interrupt = new AbortController()
    const isKnown = this.#missing === 'nothing'
    const toEnd = isKnown && (this.#refreshers.any || this.#freshness.isDue)
    const hanging = this.#deafness.watch()
    const began = this.#freshness.begin()
    try {
      const { records, atEnd } = await reader.receive({ wait: toEnd ? 0 : patience, signal: this.#interrupt.signal })
      this.#deafness.answered()
      for (const record of records) if (record.value) this.#report(record.value)
      let news = records.length > 0
      if (atEnd) this.#live = true
      // What was missed before that is told by now, too.
      if (atEnd && isKnown && this.#missing === 'nothing') {
        news = this.#freshness.end(began) || news
        this.#refreshers.read()
      }
      if (news) this.#tellListeners()
    } finally {
      hanging.cancel()
      this.#interrupt = undefined
    }
  }

  #report(value: Uint8Array): void {
    let message: VitalsMessage
    try {
      message = decodeVitalsMessage(value)
    } catch {
      return // of a newer release, or not ours: it holds nobody
    }
    if (message.kind === 'question') return this.#asked(message.by)
    this.#takeAll(message)
  }

  #takeAll(message: Extract<VitalsMessage, { kind: 'reports' }>): void {
    const now = this.#environment.monotonic()
    for (const { vitals, age } of message.reports) {
      const known = this.tasks.get(vitals.task)
      // What others pass on fills gaps, and overrides nothing: it may be older than what we have heard since.
      if (!message.repeated || !known) this.tasks.set(vitals.task, newest(known, vitals))
      if (message.repeated) this.#repeated.add(vitals.task)
      if ((this.#live || this.#queue) && !message.repeated) this.#clocks.heard(vitals, this.#moment())
      if (this.#queue) this.#heard.set(vitals.task, Math.max(now - age, this.#heard.get(vitals.task) ?? -Infinity))
      for (const topic of vitals.outputs.keys()) this.topic(topic).report(vitals, topic, now - age)
    }
  }

  #asked(by: string): void {
    if (!this.#queue || by === this.#name) return
    this.#repeated.clear()
    this.#answer?.cancel()
    this.#answer = this.#environment.timer(this.#environment.random() * politeness, () => this.#tell(), true)
  }

  /** What nobody has told the newcomer yet: of tasks always, of plain producers while they live. */
  #tell(): void {
    const now = this.#environment.monotonic()
    const heard = [...this.tasks.values()].flatMap(vitals => {
      const age = now - this.#heardAt(vitals)
      const gone = !vitals.durable && (vitals.state === 'left' || age > silence)
      return gone || this.#repeated.has(vitals.task) ? [] : [{ vitals, age }]
    })
    this.#publisher?.repeat(heard).catch(() => {}) // the next beats tell most of it
  }

  #heardAt({ task }: Vitals): number {
    return this.#heard.get(task) ?? this.#environment.monotonic()
  }
}
