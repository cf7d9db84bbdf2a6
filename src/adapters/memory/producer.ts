import { abortedError } from '../../core/environment.ts'
import type { OutgoingRecord } from '../../core/record.ts'
import type { ProducerDriver, SendResult } from '../../spec/index.ts'
import type { MemoryConnection } from './connection.ts'
import { closedError } from './errors.ts'
import { failureOf, type FailureFault, type FaultTarget } from './faults.ts'
import type { PartitionLog } from './partition-log.ts'

export class MemoryProducer implements ProducerDriver {
  readonly #connection: MemoryConnection
  #closed = false

  constructor(connection: MemoryConnection) {
    this.#connection = connection
  }

  async send(batch: readonly OutgoingRecord[], signal?: AbortSignal): Promise<readonly SendResult[]> {
    if (signal?.aborted) throw abortedError(signal)
    this.#assertOpen()
    const { broker, environment } = this.#connection
    if (!broker.faults.quiet) return this.#sendDisturbed(batch, signal)
    const turn = broker.breathe(environment)
    if (turn) await turn
    return this.#write(batch)
  }

  close(): Promise<void> {
    this.#closed = true
    return Promise.resolve()
  }

  #assertOpen(): void {
    if (this.#closed || this.#connection.closed) throw closedError('producer')
  }

  /** `refuse` says which records a fault keeps out: an error, or nothing. */
  #write(batch: readonly OutgoingRecord[], refuse?: (record: OutgoingRecord) => unknown): SendResult[] {
    const { broker } = this.#connection
    const results = new Array<SendResult>(batch.length)
    const touched = new Set<PartitionLog>()
    let log: PartitionLog | undefined
    for (let index = 0; index < batch.length; index++) {
      const record = batch[index]!
      try {
        const error = refuse?.(record)
        if (error !== undefined) throw error
        if (log === undefined || log.partition !== record.partition || log.topic !== record.topic) {
          log = broker.log(record)
          touched.add(log)
        }
        results[index] = { ok: true, position: log.append(record) }
      } catch (error) {
        results[index] = { ok: false, error }
      }
    }
    for (const written of touched) written.wake()
    return results
  }

  async #sendDisturbed(
    batch: readonly OutgoingRecord[],
    signal: AbortSignal | undefined
  ): Promise<readonly SendResult[]> {
    const { broker, environment, client } = this.#connection
    const concerned = (target: FaultTarget, record: OutgoingRecord): boolean =>
      (target.topic ?? record.topic) === record.topic && (target.partition ?? record.partition) === record.partition
    const rule = broker.faults.take({ operation: 'send', client }, target =>
      batch.some(record => concerned(target, record))
    )
    await broker.faults.before(rule, client, environment, signal)
    this.#assertOpen()
    const fault = rule?.failure
    if (!fault) {
      const results = this.#write(batch)
      if (rule?.duplicate) this.#write(batch.filter(record => concerned(rule.target, record)))
      return results
    }
    if (fault.topic !== undefined || fault.partition !== undefined) return this.#partly(batch, fault, concerned)
    if (fault.when === 'after') this.#write(batch)
    throw failureOf(fault)
  }

  #partly(
    batch: readonly OutgoingRecord[],
    fault: FailureFault,
    concerned: (target: FaultTarget, record: OutgoingRecord) => boolean
  ): SendResult[] {
    const error = failureOf(fault)
    if (fault.when === 'after') {
      const results = this.#write(batch)
      return results.map((result, index) => (concerned(fault, batch[index]!) ? { ok: false, error } : result))
    }
    const left = new Map<string, number>()
    return this.#write(batch, record => {
      if (!concerned(fault, record)) return undefined
      const key = `${record.topic}/${record.partition}`
      const room = left.get(key) ?? fault.written ?? 0
      left.set(key, room - 1)
      return room > 0 ? undefined : error
    })
  }
}
