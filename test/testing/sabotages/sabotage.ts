/** Adapters that are broken in one way each: the conformance suite must find every one of them out. */
import { memory, MemoryBroker, memoryCapabilities } from '../../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { OutgoingRecord, RawRecord } from '../../../src/core/record.ts'
import type {
  Adapter,
  AdminDriver,
  FencedProducer,
  LogEvent,
  LogReader,
  PartitionReader,
  ProducerDriver
} from '../../../src/spec/index.ts'
import type { Harness } from '../../../src/testing/conformance/index.ts'

export type Broken = Adapter<typeof memoryCapabilities, MemoryBroker>
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** Changes a driver in place. */
export type Change<Driver> = (driver: Mutable<Driver>, adapter: Broken) => void

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

type Method<Driver, Name extends keyof Driver> = Extract<Driver[Name], (...args: never) => unknown>

/** Puts something around a method. */
function around<Driver, Name extends keyof Driver>(
  name: Name,
  make: (original: Method<Driver, Name>, driver: Mutable<Driver>, adapter: Broken) => Method<Driver, Name>
): Change<Driver> {
  return (driver, adapter) => {
    const original = driver[name] as Method<Driver, Name>
    driver[name] = make(original.bind(driver) as Method<Driver, Name>, driver, adapter) as Mutable<Driver>[Name]
  }
}

type Around<Driver> = <Name extends keyof Driver>(
  name: Name,
  make: (original: Method<Driver, Name>, driver: Mutable<Driver>, adapter: Broken) => Method<Driver, Name>
) => Sabotage

export const onAdmin: Around<AdminDriver> = (name, make) => ({ admin: around(name, make) })
export const onProducer: Around<ProducerDriver> = (name, make) => ({ producer: around(name, make) })
export const onGroup: Around<LogReader> = (name, make) => ({ logReader: around(name, make) })
export const onPartition: Around<PartitionReader> = (name, make) => ({ partitionReader: around(name, make) })
export const onTransaction: Around<FencedProducer> = (name, make) => ({ fencedProducer: around(name, make) })

/** Events of a group in another form. */
export function events(change: (events: readonly LogEvent[], reader: LogReader) => readonly LogEvent[]): Sabotage {
  return onGroup('receive', (receive, reader) => async options => change(await receive(options), reader))
}

/** Records are sent in another form. */
export function sending(change: (record: OutgoingRecord) => OutgoingRecord): Sabotage {
  return onProducer('send', send => (batch, signal) => send(batch.map(change), signal))
}

/** Records are read in another form. */
export function reading(change: (records: readonly RawRecord[]) => readonly RawRecord[]): Sabotage {
  return {
    ...onPartition('receive', receive => async options => {
      const { records, atEnd } = await receive(options)
      return { records: change(records), atEnd }
    }),
    ...events(all =>
      all.map(event => (event.kind === 'records' ? { ...event, records: change(event.records) } : event))
    )
  }
}

/** The sabotage, and the beginnings of the names of cases that must fail for it. */
export type Sabotages = Readonly<Record<string, readonly [Sabotage, ...cases: string[]]>>
