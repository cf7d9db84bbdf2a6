import { onTestFinished } from 'vitest'
import type { FileAdapter } from '../../../src/adapters/file/index.ts'
import type {
  LogEvent,
  LogReader,
  LogReaderOptions,
  PartitionsRevoked,
  TopicPartition
} from '../../../src/spec/index.ts'
import { until } from './support.ts'

/** A reader whose front takes what comes: seeks, releases, and keeps a diary: `+0 +1`, `-1`, `lost 0`, values. */
export class Member {
  readonly reader: LogReader
  readonly diary: string[] = []
  readonly held: Set<string> = new Set<string>()
  readonly revocations: PartitionsRevoked[] = []
  /** What `receive` rejected with. */
  failure: unknown
  /** Do not release by itself. */
  keeps = false
  #running: Promise<void> | undefined
  #stop = new AbortController()

  private constructor(reader: LogReader) {
    this.reader = reader
  }

  /** Joins, and does nothing yet. */
  static async join(adapter: FileAdapter, options: Partial<LogReaderOptions> & { topics: string[] }): Promise<Member> {
    const base = { group: 'readers', sessionTimeout: 800, maxBytes: 1 << 20 }
    const member = new Member(await adapter.logReader!({ ...base, ...options }))
    onTestFinished(() => member.pause())
    return member
  }

  /** Receives all the time, until `pause`. */
  run(): this {
    this.#stop = new AbortController()
    this.#running = this.#receive(this.#stop.signal)
    return this
  }

  async pause(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async close(): Promise<void> {
    await this.pause()
    await this.reader.close()
  }

  holds(count: number): Promise<void> {
    return until(`${count} partitions; ${this.diary.join(' ')}`, () => this.held.size === count)
  }

  /** One receive, and what follows. */
  async step(wait = 0): Promise<readonly LogEvent[]> {
    const events = await this.reader.receive({ wait })
    for (const event of events) await this.#handle(event)
    return events
  }

  async #receive(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for (const event of await this.reader.receive({ wait: 200, signal })) await this.#handle(event)
      } catch (error) {
        if (!signal.aborted) this.failure = error
        return
      }
    }
  }

  async #handle(event: LogEvent): Promise<void> {
    if (event.kind === 'records') {
      this.diary.push(...event.records.map(({ value }) => Buffer.from(value ?? '').toString()))
    } else if (event.kind === 'partitions-assigned') {
      for (const place of event.partitions) {
        this.held.add(nameOf(place))
        this.diary.push(`+${nameOf(place)}`)
        await this.reader.seek(place, 'committed')
      }
    } else {
      this.revocations.push(event)
      for (const place of event.partitions) {
        this.held.delete(nameOf(place))
        this.diary.push(`${event.deadline === 0 ? 'lost ' : '-'}${nameOf(place)}`)
      }
      if (!this.keeps) event.release()
    }
  }
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
