import type { ClientStore, TaskLog } from '../../src/exactly-once/index.ts'
import type { Machine } from '../core/machine.ts'

/** The store as one machine has it: every call goes through the network; an append without an answer is unclear. */
export function remoteStore(machine: Machine, store: ClientStore): ClientStore {
  return new Proxy(store, {
    get(_, name) {
      const member = Reflect.get(store, name, store) as unknown
      if (name === 'close') return async () => {}
      if (name === 'acquire')
        return async (...given: Parameters<ClientStore['acquire']>) =>
          remoteLog(
            machine,
            given[0].id,
            await machine.call('store', `acquire ${given[0].id}`, () => acquired(store, given))
          )
      if (typeof member !== 'function') return member
      return (...given: unknown[]) =>
        machine.call('store', String(name), () => Reflect.apply(member, store, given) as unknown)
    }
  })
}

/** As of the moment of the call: what others do before the answer arrives is not in it. */
async function acquired(store: ClientStore, given: Parameters<ClientStore['acquire']>): Promise<TaskLog> {
  const log = await store.acquire(...given)
  const { epoch, last } = log
  return {
    epoch,
    last,
    state: [...log.state],
    unsent: [...log.unsent],
    append: commit => log.append(commit),
    readBack: () => log.readBack(),
    close: () => log.close()
  }
}

function remoteLog(machine: Machine, task: string, log: TaskLog): TaskLog {
  return {
    ...log,
    append: commit =>
      machine.call('store', `append ${commit.number} of ${task}`, () => log.append(commit), {
        unclear: () => 'unknown'
      }),
    readBack: () => machine.call('store', `read back ${task}`, () => log.readBack()),
    close: async () => {}
  }
}
