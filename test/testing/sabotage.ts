/** Adapters that are broken in one way each: the conformance suite must find every one of them out. */
import { memory, MemoryBroker, memoryCapabilities } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import type { OutgoingRecord, RawRecord } from '../../src/core/record.ts'
import type {
  Adapter,
  AdminDriver,
  FencedProducer,
  LogEvent,
  LogReader,
  PartitionReader,
  ProducerDriver
} from '../../src/spec/index.ts'
import type { Harness } from '../../src/testing/conformance/index.ts'

export type Broken = Adapter<typeof memoryCapabilities, MemoryBroker>
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** Changes a driver in place. */
type Change<Driver> = (driver: Mutable<Driver>, adapter: Broken) => void

export interface Sabotage {
  readonly admin?: Change<AdminDriver>
  readonly producer?: Change<ProducerDriver>
  readonly logReader?: Change<LogReader>
  readonly partitionReader?: Change<PartitionReader>
  readonly fencedProducer?: Change<FencedProducer>
  readonly adapter?: (adapter: Mutable<Broken>) => void
}

/** The memory backend with this in it. Waits are cut to a tenth: what never comes need not be waited for. */
export function sabotaged({
  admin,
  producer,
  logReader,
  partitionReader,
  fencedProducer,
  adapter: whole
}: Sabotage): Harness {
  const broker = new MemoryBroker()
  return {
    backend: 'sabotaged',
    capabilities: memoryCapabilities,
    sessionTimeout: 300,
    pace: 0.1,
    async start() {
      const adapter = memory({ broker })
      await adapter.open(systemEnvironment)
      const changed = async <Driver>(opening: Promise<Driver>, change: Change<Driver> | undefined): Promise<Driver> => {
        const driver = await opening
        change?.(driver, adapter)
        return driver
      }
      const broken: Mutable<Broken> = {
        ...adapter,
        admin: () => {
          const driver = adapter.admin()
          admin?.(driver, adapter)
          return driver
        },
        producer: () => changed(adapter.producer(), producer),
        logReader: options => changed(adapter.logReader!(options), logReader),
        partitionReader: options => changed(adapter.partitionReader!(options), partitionReader),
        transactions: () => ({ producer: id => changed(adapter.transactions!().producer(id), fencedProducer) })
      }
      whole?.(broken)
      return broken
    },
    async stop() {}
  }
}

/** Records are sent in another form. */
export function sending(change: (record: OutgoingRecord) => OutgoingRecord): Sabotage {
  return {
    producer: driver => {
      const send = driver.send.bind(driver)
      driver.send = (batch, signal) => send(batch.map(change), signal)
    }
  }
}

/** Records are read in another form. */
export function reading(change: (records: readonly RawRecord[]) => readonly RawRecord[]): Sabotage {
  return {
    partitionReader: driver => {
      const receive = driver.receive.bind(driver)
      driver.receive = async options => {
        const { records, atEnd } = await receive(options)
        return { records: change(records), atEnd }
      }
    },
    logReader: driver =>
      onEvents(driver, events =>
        events.map(event => (event.kind === 'records' ? { ...event, records: change(event.records) } : event))
      )
  }
}

export function onEvents(
  driver: Mutable<LogReader>,
  change: (events: readonly LogEvent[]) => readonly LogEvent[]
): void {
  const receive = driver.receive.bind(driver)
  driver.receive = async options => change(await receive(options))
}
