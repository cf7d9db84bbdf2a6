import { setTimeout } from 'node:timers/promises'
import { bytes, json, optional, topic, type Client, type Pipeline } from 'tidemark'

/** What is read here of the reports that every task sends: `docs/vitals.md` has the rest. */
interface Report {
  /** `pipeline/stage/partition`. */
  readonly task: string
  readonly state: 'joining' | 'active' | 'idle' | 'closing'
  /** ms; `null` while nothing is known, `'end'` after the last record. */
  readonly watermark: number | 'end' | null
  readonly counts: { readonly processed: number }
}

/** One report on a log. On a queue (Pub/Sub) a message has several, those of others passed on, or is a question. */
type Message = Report | { readonly reports?: readonly Report[]; readonly repeated?: boolean }

const vitals = topic('tidemark.vitals', { key: optional(bytes), value: json<Message>(), partitions: 1 })

/** Follows a pipeline from outside, by its vitals: no worker is asked, so it works when all of them are dead. */
export class Progress {
  readonly #client: Client
  readonly #pipeline: Pipeline
  readonly #reports = new Map<string, Report>()
  readonly #abort = new AbortController()
  #backlog = 0
  #following: Promise<unknown> = Promise.resolve()

  constructor(client: Client, pipeline: Pipeline) {
    this.#client = client
    this.#pipeline = pipeline
  }

  async open(): Promise<void> {
    await this.#client.admin.ensure(vitals, { compacted: true })
    this.#following = Promise.allSettled([this.#readVitals(), this.#readBacklog()])
  }

  /** Looks once more, then no more. */
  async close(): Promise<void> {
    this.#abort.abort()
    await this.#following
    // A queue would keep the vitals for it for ever. Elsewhere nothing happens.
    await this.#client.admin.deleteGroup(this.#group, vitals).catch(() => {})
    await this.#askBacklog()
  }

  /** Records that the tasks of a stage have processed. */
  processed(stage: string): number {
    return this.#of(stage).reduce((sum, { counts }) => sum + counts.processed, 0)
  }

  /** `watermark 2001-02-14 13:05, 412 records wait, 8,123 of 20,000 flights counted`. */
  line(limit: number): string {
    const times = this.#of('load-hours').map(({ watermark }) =>
      watermark === 'end' ? Infinity : (watermark ?? -Infinity)
    )
    const watermark = Math.min(...times)
    const time =
      watermark === Infinity
        ? 'at the end'
        : watermark === -Infinity
          ? 'unknown'
          : new Date(watermark).toISOString().slice(0, 16)
    const counted = this.processed('count-hours').toLocaleString('en')
    const total = limit.toLocaleString('en')
    return `watermark ${time.replace('T', ' ')}, backlog ${this.#backlog.toLocaleString('en')}, ${counted} of ${total} flights counted`
  }

  get #group(): string {
    return `watch-${this.#pipeline.name}`
  }

  #of(stage: string): Report[] {
    const prefix = `${this.#pipeline.name}/${stage}/`
    return [...this.#reports].flatMap(([task, report]) => (task.startsWith(prefix) ? report : []))
  }

  async #readVitals(): Promise<void> {
    const { signal } = this.#abort
    for await (const { value } of this.#client.consumer(vitals, { group: this.#group, signal })) {
      const repeated = 'repeated' in value && value.repeated === true
      for (const report of 'task' in value ? [value] : (value.reports ?? [])) {
        // A worker that starts announces every task, also those that are at work elsewhere.
        const old = repeated || report.state === 'joining'
        if (!old || !this.#reports.has(report.task)) this.#reports.set(report.task, report)
      }
    }
  }

  async #readBacklog(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      await this.#askBacklog()
      await setTimeout(500, undefined, { signal: this.#abort.signal }).catch(() => {})
    }
  }

  async #askBacklog(): Promise<void> {
    // A topic or group that does not exist yet is no backlog.
    const backlog = await this.#client.admin.pipelineBacklog(this.#pipeline).catch(() => undefined)
    if (backlog) this.#backlog = [...backlog.values()].reduce((sum, records) => sum + records, 0)
  }
}
