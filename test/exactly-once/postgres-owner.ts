import { systemEnvironment } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import { noHeaders } from '../../src/core/record.ts'
import {
  commitToken,
  idle,
  step,
  type Commit,
  type CommitStore,
  type ProtocolEvent,
  type ProtocolState,
  type TaskLog,
  type TaskName
} from '../../src/exactly-once/index.ts'
import { commitOf, row } from './stores.ts'
import { storedRows } from '../support/stored-rows.ts'

/** One owner of a task as the pipeline is one, by the same reducer: each commit adds one to a counter and sends it. */
export class Owner {
  /** The last commit that is known to be durable. */
  number = 0
  /** How often the outcome of an append was unclear. */
  unclear = 0
  readonly #store: CommitStore
  readonly #task: TaskName
  #state: ProtocolState = idle
  #log: TaskLog | undefined

  constructor(store: CommitStore, task: TaskName) {
    this.#store = store
    this.#task = task
  }

  /** False when it was fenced. */
  get held(): boolean {
    return this.#state.phase !== 'idle'
  }

  async acquire(): Promise<void> {
    this.#dispatch({ type: 'assigned' })
    this.#log = await retried(() => this.#store.acquire(this.#task))
    this.number = this.#log.last?.number ?? 0
    this.#dispatch({ type: 'acquired', epoch: this.#log.epoch, commit: this.number })
  }

  /** False when somebody else has the task; then acquire it again. */
  async commit(padding: number = 0): Promise<boolean> {
    const token = commitToken(systemEnvironment)
    const commit = counted(this.number + 1, token, padding)
    let event: ProtocolEvent | undefined = { type: 'commit-due', token }
    while (event) {
      const [effect] = this.#dispatch(event)
      if (effect?.do === 'apply') this.number = effect.commit
      if (effect?.do === 'discard') return false
      event =
        effect?.do === 'append'
          ? { type: 'appended', outcome: await this.#append(commit) }
          : effect?.do === 'read-back'
            ? await this.#readBack()
            : undefined
    }
    return true
  }

  async #append(commit: Commit): Promise<'ok' | 'fenced' | 'unknown'> {
    const outcome = await this.#log!.append(commit)
    if (outcome === 'unknown') this.unclear++
    return outcome
  }

  async #readBack(): Promise<ProtocolEvent> {
    const found = await retried(() => this.#log!.readBack())
    if (found === 'fenced') return { type: 'appended', outcome: 'fenced' }
    return { type: 'read-back', epoch: found.epoch, commit: found.last?.number ?? 0, token: found.last?.token }
  }

  #dispatch(event: ProtocolEvent): ReturnType<typeof step>[1] {
    const [state, effects] = step(this.#state, event)
    this.#state = state
    return effects
  }
}

function counted(number: number, token: string, padding: number): Commit {
  const value = Buffer.from(`${number}`)
  const output = { topic: 'out', partition: 0, key: null, value, headers: noHeaders, stamp: undefined, timestamp: 0 }
  const filler = { ...output, value: Buffer.alloc(padding) }
  return commitOf(number, {
    token,
    state: [row('counter', `${number}`), row(`even ${number % 2}`, number % 2 === 0 ? null : 'odd')],
    outputs: padding > 0 ? [output, filler] : [output]
  })
}

/** As the pipeline does: for as long as the error says that it may get better. */
export async function retried<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      if (!(StreamError.is(error) && error.retryable) || attempt === 400) throw error
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}

/** Throws unless the task is one history of commits 1, 2, 3 ..., each with its output and state. Gives the last number. */
export async function checkedChain(store: CommitStore, task: TaskName): Promise<number> {
  const log = await store.acquire(task)
  const number = log.last?.number ?? 0
  const sent = log.unsent.map(({ commit, outputs }) => [commit, Number(Buffer.from(outputs[0]!.value!).toString())])
  const expected = Array.from({ length: number }, (_, index) => [index + 1, index + 1])
  if (JSON.stringify(sent) !== JSON.stringify(expected))
    throw new Error(`task '${task.id}' has ${number} commits, and outputs ${JSON.stringify(sent.slice(-5))}`)
  const state = new Map((await storedRows(log.state)).map(({ key, value }) => [key, Buffer.from(value!).toString()]))
  const odd = number >= 1 ? [['even 1', 'odd']] : []
  const rows = number === 0 ? [] : [['counter', `${number}`], ...odd]
  if (JSON.stringify([...state].sort()) !== JSON.stringify(rows))
    throw new Error(`task '${task.id}' has ${number} commits, and state ${JSON.stringify([...state])}`)
  return number
}
