import { StreamError } from '../core/errors.ts'
import type { StreamRecord } from '../core/record.ts'
import type { KeyedState, TimerEntry } from '../state/index.ts'
import type { HandlerContext } from './handler-context.ts'
import { stateKey } from '../state/index.ts'
import type { ProcessContext, Timeliness, Timers } from './process-context.ts'

/** What a handler has set or deleted; `undefined` is deleted. */
export type StateChanges = Map<string, { readonly value: unknown } | undefined>

/**
 * The context of one attempt that runs beside others: it reads the state of its key as the records before it have left it, and
 * keeps what it changes to itself until the record's turn comes.
 */
export class LaneContext implements ProcessContext {
  readonly task: string
  readonly signal: AbortSignal
  readonly idempotencyKey: string
  readonly state: ProcessContext['state']
  readonly timers: Timers
  readonly changes: StateChanges = new Map()
  expired = false
  readonly #shared: HandlerContext
  readonly #timers: (readonly ['set' | 'cancel', TimerEntry])[] = []

  /**
   * @param shared of the task; points at nobody in particular
   * @param earlier changes by records of the same key that are done and whose turn has not come, oldest first
   */
  constructor(shared: HandlerContext, record: StreamRecord, key: Uint8Array | null, earlier: readonly StateChanges[]) {
    this.#shared = shared
    this.task = shared.task
    this.signal = shared.signal
    shared.begin(key, record)
    this.idempotencyKey = shared.idempotencyKey
    const handles: Record<string, KeyedState<unknown, unknown>> = {}
    for (const [name, handle] of Object.entries(shared.state as Record<string, KeyedState<unknown, unknown>>))
      handles[name] = this.#handle(name, handle, key, earlier)
    this.state = handles as ProcessContext['state']
    const at = (time: number, name: string): TimerEntry => shared.timerAt(time, name, key)
    this.timers = {
      at: (time, name = '') => void this.#timers.push(['set', at(time, name)]),
      cancel: (time, name = '') => void this.#timers.push(['cancel', at(time, name)])
    }
  }

  get watermark(): number {
    return this.#shared.watermark
  }

  get timeliness(): Timeliness {
    return this.#shared.timeliness
  }

  expire = (): void => {
    this.expired = true
  }

  /** Its turn has come: what it did becomes that of the task, whose context points at its record. */
  apply(): void {
    const state = this.#shared.state as Record<string, KeyedState<unknown, unknown>>
    for (const [name, change] of this.changes)
      if (change) state[name]!.set(change.value)
      else state[name]!.delete()
    for (const [what, { time, name }] of this.#timers)
      if (what === 'set') this.#shared.timers.at(time, name)
      else this.#shared.timers.cancel(time, name)
  }

  #handle(
    name: string,
    base: KeyedState<unknown, unknown>,
    key: Uint8Array | null,
    earlier: readonly StateChanges[]
  ): KeyedState<unknown, unknown> {
    // Read now: when the handler asks, the task is somewhere else.
    const pending = earlier.findLast(changes => changes.has(name))
    const initial = key === null ? undefined : base.get()
    const before = pending ? pending.get(name) : { value: initial }
    const keyed = (): void => {
      if (stateKey(key) === null)
        throw new StreamError(
          'handler',
          `state '${name}' was used for a record without a key: give the topic a key codec and send keyed records`
        )
    }
    return {
      get: () => {
        keyed()
        const own = this.changes.has(name) ? this.changes.get(name) : before
        return own ? own.value : this.#shared.initialOf(name)
      },
      set: value => {
        keyed()
        this.changes.set(name, { value })
      },
      delete: () => {
        keyed()
        this.changes.set(name, undefined)
      }
    }
  }
}
