import type { Environment } from '../../core/environment.ts'
import { parseText, readOptions } from '../../core/options.ts'
import type { Adapter } from '../../spec/index.ts'
import { MemoryAdmin } from './admin.ts'
import { MemoryBroker, namedBroker } from './broker.ts'
import { memoryCapabilities, type MemoryCapabilities } from './capabilities.ts'
import type { MemoryConnection } from './connection.ts'
import { classify, closedError, memoryError } from './errors.ts'
import { MemoryLogReader } from './log-reader.ts'
import { memoryOptions, type MemoryOptions } from './options.ts'
import { MemoryPartitionReader } from './partition-reader.ts'
import { MemoryProducer } from './producer.ts'
import { MemoryTransactions } from './transaction.ts'

export { MemoryBroker } from './broker.ts'
export { memoryCapabilities, type MemoryCapabilities } from './capabilities.ts'
export { MemoryFaults } from './faults.ts'
export type { FailureFault, FaultOperation, FaultTarget, HeldCall, TransactionFault } from './faults.ts'
export { memoryOptions, type MemoryOptions } from './options.ts'

export type MemoryAdapter = Adapter<MemoryCapabilities, MemoryBroker>

/**
 * A broker in this process: topics, groups and transactions in arrays. For tests, and for pipelines that need no broker.
 * Records are shared, not copied: whoever sends bytes must not change them afterwards, nor whoever receives them.
 *
 * @example
 * const adapter = memory()
 * adapter.native.faults.fail({ operation: 'send', when: 'after' })
 */
export function memory(options: MemoryOptions = {}): MemoryAdapter {
  const checked: MemoryOptions = readOptions('memory', memoryOptions, options)
  const { name, faults } = checked
  const broker = checked.broker ?? (name === undefined ? new MemoryBroker(undefined, faults) : namedBroker(name))
  if (faults && broker.faults !== faults)
    throw memoryError('bad-config', 'memory: faults are for a fresh broker; use broker.faults of the shared one')
  const client = checked.client ?? broker.nextClient()
  let given: Environment | undefined
  let closed = false
  const connection: MemoryConnection = {
    broker,
    client,
    get environment(): Environment {
      if (!given) throw memoryError('internal', 'the memory adapter was used before open()')
      return given
    },
    get closed(): boolean {
      return closed
    }
  }
  const readers = new Set<{ close(): Promise<void> }>()
  const assertOpen = (): void => {
    if (closed) throw closedError('adapter')
  }
  return {
    specification: 'v1',
    name: 'memory',
    location: `memory:${broker.name}`,
    capabilities: memoryCapabilities,
    native: broker,
    open: async environment => {
      assertOpen()
      given = environment
    },
    admin: () => new MemoryAdmin(connection),
    producer: () =>
      broker.faults.run({ operation: 'producer', client }, connection.environment, () => {
        assertOpen()
        return new MemoryProducer(connection)
      }),
    logReader: reader =>
      broker.faults.run({ operation: 'join', client, group: reader.group }, connection.environment, () => {
        assertOpen()
        return keep(readers, new MemoryLogReader(connection, reader))
      }),
    partitionReader: async reader => {
      assertOpen()
      broker.faults.assertConnected(client)
      return keep(readers, new MemoryPartitionReader(connection, reader))
    },
    transactions: () => new MemoryTransactions(connection),
    comparePositions: (left, right) => Number(left) - Number(right),
    classify,
    close: async () => {
      closed = true
      await Promise.all([...readers].map(reader => reader.close()))
      readers.clear()
    }
  }
}

/** Readers leave their groups when the adapter is closed over them. */
function keep<Reader extends { close(): Promise<void> }>(
  readers: Set<{ close(): Promise<void> }>,
  reader: Reader
): Reader {
  const close = reader.close.bind(reader)
  reader.close = () => {
    readers.delete(reader)
    return close()
  }
  readers.add(reader)
  return reader
}

/** The options in a URL: `memory:` is a fresh broker, `memory:name` the one of that name in this process. */
export function fromUrl(url: string): MemoryOptions {
  const [, name, query] = /^memory:([^?]*)(?:\?(.*))?$/.exec(url) ?? []
  if (name === undefined) throw memoryError('bad-config', `'${url}' is no memory: address`)
  const given: Record<string, unknown> = name === '' ? {} : { name }
  for (const [key, value] of new URLSearchParams(query ?? '')) {
    const spec = memoryOptions[key]
    given[key] = spec ? parseText(`memory: option '${key}'`, spec, value) : value
  }
  return given
}
