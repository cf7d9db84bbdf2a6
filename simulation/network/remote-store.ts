import type { ClientStore, TaskLog } from '../../src/exactly-once/index.ts'
import { isReader, type StoredState } from '../../src/state/index.ts'
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
            await machine.call('store', `acquire ${given[0].id}`, () => acquired(machine, store, given))
          )
      if (typeof member !== 'function') return member
      return (...given: unknown[]) =>
        machine.call('store', String(name), () => Reflect.apply(member, store, given) as unknown)
    }
  })
}

/** As of the moment of the call: what others do before the answer arrives is not in it. */
async function acquired(
  machine: Machine,
  store: ClientStore,
  given: Parameters<ClientStore['acquire']>
): Promise<TaskLog> {
  const log = await store.acquire(...given)
  const { epoch, last } = log
  return {
    epoch,
    last,
    state: remoteRows(machine, given[0].id, log.state),
    unsent: [...log.unsent],
    append: commit => log.append(commit),
    readBack: () => log.readBack(),
    close: () => log.close()
  }
}

/** Rows are read when they are needed, and by then the task may be somebody else's. */
function remoteRows(machine: Machine, task: string, state: StoredState): StoredState {
  if (!isReader(state)) return [...state]
  return {
    page: (from, most) => machine.call('store', `read state of ${task}`, () => state.page(from, most)),
    find: places => machine.call('store', `find state of ${task}`, () => state.find(places))
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
