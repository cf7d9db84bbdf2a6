import { StreamError } from '../core/errors.ts'
import type { Entry, StreamRecord } from '../core/record.ts'
import type { AnyTopic } from '../core/topic.ts'
import type { ProcessContext, Topics } from '../pipeline/index.ts'

export type TaggedEntry = Entry & { readonly topic?: string }

export function listOf(topics: Topics): readonly AnyTopic[] {
  return Array.isArray(topics) ? topics : [topics as AnyTopic]
}

/** Collects what `result` and `join` return, with its topic and its event time. */
export class ResultWriter {
  readonly #where: string
  /** Named when the stage writes one topic of results: there may be one for late records beside it. */
  readonly #only: string | undefined

  constructor(where: string, to: readonly AnyTopic[]) {
    this.#where = where
    this.#only = to.length === 1 ? to[0]!.name : undefined
  }

  /** Appends to `entries`. A time or topic that the entry names itself is left as it is. */
  write(entries: TaggedEntry[], result: unknown, eventTime?: number): void {
    if (result === undefined || result === null) return
    if (typeof result !== 'object') throw this.#refused(typeof result)
    if (Symbol.iterator in result)
      for (const entry of result as Iterable<TaggedEntry>) entries.push(this.#complete(entry, eventTime))
    else entries.push(this.#complete(result as TaggedEntry, eventTime))
  }

  #complete(entry: TaggedEntry, eventTime: number | undefined): TaggedEntry {
    if (typeof entry !== 'object' || entry === null) throw this.#refused(typeof entry)
    if (typeof (entry as { then?: unknown }).then === 'function') throw this.#refused('a promise')
    return {
      ...(this.#only !== undefined && { topic: this.#only }),
      ...(eventTime !== undefined && { eventTime }),
      ...entry
    }
  }

  #refused(what: string): StreamError {
    return new StreamError(
      'bad-record',
      `${this.#where} must return entries ({ key, value }) or nothing, at once, not ${what}`
    )
  }
}

/** The fate of a record that came too late to be of use: a topic of its own, or at least a count (law 6). */
export function expire(
  record: StreamRecord,
  late: AnyTopic | undefined,
  context: Pick<ProcessContext, 'expire'>
): TaggedEntry | undefined {
  if (late) {
    const { key, value, headers, eventTime } = record
    return { topic: late.name, key, value, headers, eventTime }
  }
  context.expire()
  return undefined
}

/** Throws `bad-config` for topics that cannot do what they are to. */
export function checkTopics(
  where: string,
  from: readonly AnyTopic[],
  to: readonly AnyTopic[],
  late: readonly AnyTopic[]
): void {
  for (const { name, key } of from)
    if (key.nullable)
      throw new StreamError(
        'bad-config',
        `${where} keeps its state per key, but topic '${name}' may have records without one: give it a key codec that is not optional`
      )
  for (const { name } of late)
    if ([...from, ...to].some(topic => topic.name === name))
      throw new StreamError(
        'bad-config',
        `${where}: topic '${name}' is for late records, and cannot be another of its topics`
      )
}
