import type { OutgoingRecord } from '../../src/core/record.ts'
import { decodeHead, type ClientStore, type Head, type TaskLog } from '../../src/exactly-once/index.ts'

/** One commit that took effect. */
export interface Committed {
  readonly task: string
  readonly number: number
  readonly epoch: number
  readonly head: Head
  /** What it published; not told where outputs and commit are one transaction of the broker. */
  readonly outputs: readonly OutgoingRecord[] | undefined
}

/** The commits of a run in the order in which they took effect, written down at the store itself. */
export class Journal {
  readonly commits: Committed[] = []

  /** A store that writes down what it does. */
  watch(store: ClientStore): ClientStore {
    return new Proxy(store, {
      get: (_, name) => {
        const member = Reflect.get(store, name, store) as unknown
        if (typeof member !== 'function') return member
        if (name !== 'acquire') return member.bind(store) as unknown
        return async (...given: Parameters<ClientStore['acquire']>) =>
          this.#watched(given[0].id, await store.acquire(...given))
      }
    })
  }

  #watched(task: string, log: TaskLog): TaskLog {
    const append: TaskLog['append'] = async commit => {
      const outcome = await log.append(commit)
      if (outcome === 'ok') {
        const { number, head, outputs } = commit
        this.commits.push({ task, number, epoch: log.epoch, head: decodeHead(head, task), outputs })
      }
      return outcome
    }
    return new Proxy(log, { get: (_, name) => (name === 'append' ? append : bound(log, name)) })
  }
}

function bound(target: object, name: string | symbol): unknown {
  const member = Reflect.get(target, name, target) as unknown
  return typeof member === 'function' ? (member.bind(target) as unknown) : member
}
