import { diagnose } from '../core/diagnostics.ts'
import { delayOf } from '../broker/index.ts'
import { abortedError, sleep, type Environment } from '../core/environment.ts'
import { messageOf, StreamError } from '../core/errors.ts'
import type { FailureKind } from '../core/failure.ts'
import type { Circuit } from './circuit.ts'
import type { Writing } from './logic.ts'
import { askedWait, type Policy } from './failure-policy.ts'
import type { OpenPlainWriter, SinkContext } from './sink-writer.ts'
import type { Unwritten } from './work.ts'

/** So many single records that fail one after the other, with none that can be written, mean that the destination is down. */
const hopeless = 8

/** What it is that works on batches: what is told of it. */
export interface BatchKind {
  readonly who: 'sink' | 'processor'
  readonly doing: 'writing' | 'handling'
  readonly told: 'write-retried' | 'batch-retried'
}

/**
 * Calls a handler of batches, that of a sink or of a processor: again while what it writes to, or asks, is down, and record by
 * record where some of them are to blame. What it gives is what can be said of single records; all others are done.
 */
export class BatchWriter {
  readonly #writer: Pick<OpenPlainWriter<unknown>, 'write'>
  readonly #policy: Policy
  readonly #circuit: Circuit
  readonly #environment: Environment
  readonly #kind: BatchKind

  constructor(
    writer: Pick<OpenPlainWriter<unknown>, 'write'>,
    policy: Policy,
    circuit: Circuit,
    environment: Environment,
    kind: BatchKind = { who: 'sink', doing: 'writing', told: 'write-retried' }
  ) {
    this.#kind = kind
    this.#writer = writer
    this.#policy = policy
    this.#circuit = circuit
    this.#environment = environment
  }

  /** Throws what ends the run (`handler`), and `aborted`. */
  async write(
    records: readonly unknown[],
    context: SinkContext,
    { ending, failed }: Writing
  ): Promise<readonly Unwritten[]> {
    const { retries, backoff, then } = this.#policy
    for (let attempt = 1; ; attempt++) {
      await this.#circuit.admit(ending)
      let error: unknown
      try {
        return await this.#once(records, context)
      } catch (thrown) {
        error = thrown
      }
      if (context.signal.aborted) throw abortedError(context.signal)
      failed()
      const kind = this.#policy.kindOf(error)
      if (kind === 'fatal') throw this.#stopped(context, records, error, `met a fatal error`)
      if (kind === 'poison' || attempt > retries) {
        const unwritten = await this.#search(records, context, kind)
        if (unwritten) return unwritten.map(each => ({ ...each, attempts: attempt + 1 }))
        if (then === 'stop') throw this.#stopped(context, records, error, `failed ${attempt} times`)
      }
      this.#circuit.failed(error)
      if (ending.aborted) throw abortedError(ending)
      diagnose(this.#kind.told, { task: context.task, records: records.length, attempt, error })
      const wait = Math.max(askedWait(error), delayOf(backoff, attempt, this.#environment))
      if (!this.#circuit.isOpen) await sleep(this.#environment, wait, ending)
    }
  }

  async #once(records: readonly unknown[], context: SinkContext): Promise<readonly Unwritten[]> {
    const outcome = await this.#writer.write(records, context)
    this.#circuit.succeeded()
    const known = outcome ? outcome.failed : []
    for (const { record } of known)
      if (!records.includes(record))
        throw new StreamError(
          'handler',
          `sink '${context.task}': \`failed\` names a record that was not in the batch: give the very objects that were handed over`
        )
    return known
  }

  /** Which records are to blame? Halves, then halves of these. `undefined`: the destination is. */
  async #search(
    records: readonly unknown[],
    context: SinkContext,
    first: FailureKind
  ): Promise<readonly Unwritten[] | undefined> {
    const unwritten: Unwritten[] = []
    let isUp = first === 'poison'
    const halve = async (part: readonly unknown[]): Promise<void> => {
      const middle = part.length >> 1
      for (const half of [part.slice(0, middle), part.slice(middle)]) await attempt(half)
    }
    const attempt = async (part: readonly unknown[]): Promise<void> => {
      if (!isUp && unwritten.length >= hopeless) return
      try {
        const known = await this.#once(part, context)
        unwritten.push(...known)
        isUp ||= known.length < part.length
      } catch (error) {
        if (context.signal.aborted) throw abortedError(context.signal)
        const kind = this.#policy.kindOf(error)
        if (kind === 'fatal') throw this.#stopped(context, part, error, 'met a fatal error')
        isUp ||= kind === 'poison'
        if (part.length > 1) return halve(part)
        unwritten.push({ record: part[0]!, error })
      }
    }
    if (records.length > 1) await halve(records)
    else unwritten.push(...(first === 'poison' ? await this.#alone(records[0]!, context) : []))
    return isUp ? unwritten : undefined
  }

  /** A single record that was called poison. */
  async #alone(record: unknown, context: SinkContext): Promise<readonly Unwritten[]> {
    try {
      return await this.#once([record], context)
    } catch (error) {
      return [{ record, error }]
    }
  }

  #stopped({ task }: SinkContext, records: readonly unknown[], error: unknown, how: string): StreamError {
    const { who, doing } = this.#kind
    const what = `${who} '${task}' ${how} ${doing} ${records.length} records`
    return new StreamError('handler', `${what}: ${messageOf(error)}`, { cause: error })
  }
}
