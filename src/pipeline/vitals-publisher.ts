import { withRetry } from '../broker/index.ts'
import { diagnose } from '../core/diagnostics.ts'
import type { Environment, Timer } from '../core/environment.ts'
import { noHeaders, type OutgoingRecord } from '../core/record.ts'
import type { AnyAdapter, ProducerDriver } from '../spec/index.ts'
import { encodeVitals, vitalsTopic, type Vitals } from '../watermark/index.ts'

type Report = Omit<Vitals, 'beat'>

/**
 * Sends the vitals of this process to one broker: best effort, on a connection of its own, the newest report per producer
 * and nothing older. Its trouble is a fact for readers and for diagnostics, never an error of the pipeline (law 7).
 */
export class VitalsPublisher {
  readonly #adapter: AnyAdapter
  readonly #environment: Environment
  readonly #interval: number
  /** The newest report of each producer: bounded by the number of tasks. */
  readonly #reports = new Map<string, Report>()
  readonly #dirty = new Set<string>()
  #driver: Promise<ProducerDriver> | undefined
  #timer: Timer | undefined
  #sending: Promise<void> | undefined
  #sentAt = -Infinity
  #beat = 0
  #closed = false

  constructor(adapter: AnyAdapter, environment: Environment, interval: number) {
    this.#adapter = adapter
    this.#environment = environment
    this.#interval = interval
  }

  /** Must arrive before the first record of these producers: rejects when it cannot. */
  async announce(reports: readonly Report[]): Promise<void> {
    if (reports.length === 0) return
    const doing = 'announcing tasks on the vitals topic'
    await withRetry({ adapter: this.#adapter, environment: this.#environment, doing, attempts: 8 }, async () => {
      const results = await (await this.#open()).send(reports.map(report => this.#record(report)))
      for (const result of results) if (!result.ok) throw result.error
    })
  }

  /** Kept as the newest; sent at once after a silence, else with the next beat. */
  report(report: Report): void {
    if (this.#closed) return
    this.#reports.set(report.producer, report)
    this.#dirty.add(report.producer)
    const urgent = report.state === 'closing' || report.state === 'left' || this.#environment.monotonic() - this.#sentAt >= this.#interval
    if (urgent) this.#schedule(0)
    else if (!this.#timer) this.#schedule(this.#interval)
  }

  /** This producer is not ours any more: say nothing more of it, but that it has left. */
  forget(producer: string): void {
    if (this.#reports.get(producer)?.state === 'left') return
    this.#reports.delete(producer)
    this.#dirty.delete(producer)
  }

  /** Tries to send what is new, for at most `timeout` ms. */
  async close(timeout: number = 2_000): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
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
    const records = producers.flatMap(producer => {
      const report = this.#reports.get(producer)
      return report ? [this.#record(report)] : []
    })
    this.#dirty.clear()
    if (records.length === 0) return
    this.#sentAt = this.#environment.monotonic()
    try {
      const results = await (await this.#open()).send(records)
      for (const result of results) if (!result.ok) throw result.error
      this.#dropLeft(producers)
    } catch (error) {
      for (const producer of producers) if (this.#reports.has(producer)) this.#dirty.add(producer)
      diagnose('vitals-lost', { topic: vitalsTopic, error })
    }
  }

  /** The last word is said once. */
  #dropLeft(producers: readonly string[]): void {
    for (const producer of producers)
      if (this.#reports.get(producer)?.state === 'left' && !this.#dirty.has(producer)) this.#reports.delete(producer)
  }

  #open(): Promise<ProducerDriver> {
    this.#driver ??= this.#adapter.producer().catch(error => {
      this.#driver = undefined
      throw error
    })
    return this.#driver
  }

  #record(report: Report): OutgoingRecord {
    return {
      topic: vitalsTopic,
      partition: 0,
      key: Buffer.from(report.producer, 'latin1'),
      value: encodeVitals({ ...report, beat: ++this.#beat }),
      headers: noHeaders,
      stamp: undefined,
      timestamp: this.#environment.now()
    }
  }
}

export type { Report as VitalsReport }
