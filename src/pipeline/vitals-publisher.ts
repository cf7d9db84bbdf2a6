import { withRetry, type Trying } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import type { Environment, Timer } from '../core/environment.ts'
import { noHeaders, type OutgoingRecord } from '../core/record.ts'
import type { AnyAdapter, ProducerDriver } from '../spec/index.ts'
import {
  encodeQuestion,
  encodeRepeated,
  encodeReports,
  encodeVitals,
  vitalsTopic,
  type HeardVitals,
  type ReportedHealth,
  type Vitals
} from '../watermark/index.ts'
import { restoreVitals } from './vitals-topic.ts'

/** Its health is asked for with each beat: a task that hangs does not report, and is reported of. */
interface Report extends Omit<Vitals, 'beat' | 'health'> {
  health?(): ReportedHealth
  /** Is there something in its health that others should hear before the next beat? Asked a few times in each. */
  hasNews?(): boolean
}

/** However urgent: least time between two beats, ms. */
const leastPause = 100

const noHealth: ReportedHealth = { pending: 0, failureRate: 0, upstream: {} }

/**
 * Sends the vitals of this process to one broker: best effort, on a connection of its own, the newest report per producer
 * and nothing older. Its trouble is a fact for readers and for diagnostics, never an error of the pipeline (law 7).
 */
export class VitalsPublisher {
  readonly #adapter: AnyAdapter
  readonly #environment: Environment
  readonly #interval: number
  readonly #trying: Trying | undefined
  /** The newest report of each producer: bounded by the number of tasks. */
  readonly #reports = new Map<string, Report>()
  readonly #dirty = new Set<string>()
  /** Said once more, then forgotten. */
  readonly #leaving = new Set<string>()
  #announced: ((announced: readonly HeardVitals[]) => void) | undefined
  #driver: Promise<ProducerDriver> | undefined
  #timer: Timer | undefined
  #newsTimer: Timer | undefined
  #sending: Promise<void> | undefined
  #sentAt = -Infinity
  #beat = 0
  #closed = false

  /** @param trying of whoever waits for an announcement or a question */
  constructor(adapter: AnyAdapter, environment: Environment, interval: number, trying?: Trying) {
    this.#trying = trying
    this.#adapter = adapter
    this.#environment = environment
    this.#interval = interval
  }

  /** Must arrive before the first record of these producers: rejects when it cannot. */
  async announce(reports: readonly Report[]): Promise<void> {
    if (reports.length === 0) return
    const vitals = this.#numbered(reports)
    await this.#again('announcing tasks on the vitals topic', async () => {
      const results = await (await this.#open()).send(this.#records(vitals))
      for (const result of results) if (!result.ok) throw result.error
    })
    this.#announced?.(vitals.map(each => ({ vitals: each, age: 0 })))
  }

  /** Whoever reads the vitals of this broker for this process hears of our announcements at once: they are made only once. */
  onAnnounced(listener: (announced: readonly HeardVitals[]) => void): void {
    this.#announced = listener
  }

  /** On a queue: asks the others for what was said before we came. Rejects when that cannot be asked. */
  async ask(by: string): Promise<void> {
    await this.#again('asking on the vitals topic who is there', () => this.#say([encodeQuestion(by)]))
  }

  /** On a queue: passes on what others have said, for somebody who has asked. */
  async repeat(heard: readonly HeardVitals[]): Promise<void> {
    if (heard.length > 0 && !this.#closed) await this.#say(encodeRepeated(heard))
  }

  /** Kept as the newest; sent at once after a silence, else with the next beat. */
  report(report: Report): void {
    if (this.#closed) return
    this.#reports.set(report.producer, report)
    this.#dirty.add(report.producer)
    this.#leaving.delete(report.producer) // it is ours again
    // A beat tells the news, too: where it comes as often as anything may be said, nobody has to look in between.
    if (this.#interval > leastPause) this.#newsTimer ??= this.#lookForNews()
    const urgent =
      report.state === 'closing' ||
      report.state === 'left' ||
      this.#environment.monotonic() - this.#sentAt >= this.#interval
    if (urgent) this.#schedule(0)
    else if (!this.#timer) this.#schedule(this.#interval)
  }

  #lookForNews(): Timer {
    return this.#environment.timer(
      this.#interval / 4,
      () => {
        if (this.#closed) return
        let news = false
        // Each is asked, because each remembers what it has told.
        for (const report of this.#reports.values()) news = (report.hasNews?.() ?? false) || news
        if (news) this.urge()
        this.#newsTimer = this.#lookForNews()
      },
      true
    )
  }

  /** There is news that others should hear before the next beat. */
  urge(): void {
    if (this.#closed || this.#reports.size === 0) return
    const due = this.#sentAt + Math.min(leastPause, this.#interval) - this.#environment.monotonic()
    this.#schedule(Math.max(0, due))
  }

  /** This producer is not ours any more: what was reported last is still said, and nothing more. */
  forget(producer: string): void {
    if (this.#dirty.has(producer)) this.#leaving.add(producer)
    else this.#reports.delete(producer)
  }

  /** Tries to send what is new, for at most `timeout` ms. */
  async close(timeout: number = 2_000): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#newsTimer?.cancel()
    const last = (async (): Promise<void> => {
      await this.#sending
      if (this.#dirty.size > 0) await this.#send([...this.#dirty])
      await (await this.#driver)?.close()
    })().catch(() => {})
    await Promise.race([last, new Promise<void>(resolve => this.#environment.timer(timeout, resolve, true))])
  }

  #schedule(delay: number): void {
    this.#timer?.cancel()
    this.#timer = this.#environment.timer(delay, () => this.#tick(), true)
  }

  #tick(): void {
    this.#timer = undefined
    if (this.#closed) return
    // A beat carries every report: silence of one producer means that it is gone.
    if (!this.#sending) {
      this.#sending = this.#send([...this.#reports.keys()]).finally(() => {
        this.#sending = undefined
        if (!this.#closed && this.#reports.size > 0 && !this.#timer) this.#schedule(this.#interval)
      })
    } else this.#schedule(this.#interval / 4)
  }

  async #send(producers: readonly string[]): Promise<void> {
    const records = this.#records(this.#numbered(producers.flatMap(producer => this.#reports.get(producer) ?? [])))
    this.#dirty.clear()
    if (records.length === 0) return
    this.#sentAt = this.#environment.monotonic()
    try {
      const results = await (await this.#open()).send(records)
      for (const result of results) if (!result.ok) throw result.error
      this.#dropLeaving()
    } catch (error) {
      for (const producer of producers) if (this.#reports.has(producer)) this.#dirty.add(producer)
      diagnose('vitals-lost', { topic: vitalsTopic, error })
      await restoreVitals(this.#adapter, this.#environment, error)
    }
  }

  #dropLeaving(): void {
    for (const producer of this.#leaving) {
      if (this.#dirty.has(producer)) continue
      this.#reports.delete(producer)
      this.#leaving.delete(producer)
    }
  }

  #again(doing: string, call: () => Promise<void>): Promise<void> {
    const options = { ...this.#trying, adapter: this.#adapter, environment: this.#environment, doing, attempts: 8 }
    return withRetry(options, call)
  }

  #open(): Promise<ProducerDriver> {
    this.#driver ??= this.#adapter.producer().catch(error => {
      this.#driver = undefined
      throw error
    })
    return this.#driver
  }

  async #say(values: readonly Buffer[]): Promise<void> {
    const results = await (await this.#open()).send(values.map(value => this.#record(null, value)))
    for (const result of results) if (!result.ok) throw result.error
  }

  #numbered(reports: readonly Report[]): Vitals[] {
    const every = this.#interval
    const at = this.#environment.now()
    return reports.map(({ health, ...report }) => {
      const reported = health?.() ?? noHealth
      const { task, watermark, counts } = report
      const { pending, failureRate, lateRate = 0, heldBy } = reported
      diagnose('vitals', { task, watermark, pending, failureRate, lateRate, counts, heldBy })
      return { ...report, beat: ++this.#beat, health: { at, every, ...reported } }
    })
  }

  /** A record per producer, which a log compacts; together where there is no compaction. */
  #records(vitals: readonly Vitals[]): OutgoingRecord[] {
    if (this.#adapter.capabilities.positions === 'none')
      return encodeReports(vitals).map(value => this.#record(null, value))
    return vitals.map(report => this.#record(Buffer.from(report.producer, 'latin1'), encodeVitals(report)))
  }

  #record(key: Buffer | null, value: Buffer): OutgoingRecord {
    return {
      topic: vitalsTopic,
      partition: 0,
      key,
      value,
      headers: noHeaders,
      stamp: undefined,
      timestamp: this.#environment.now()
    }
  }
}

export type { Report as VitalsReport }
