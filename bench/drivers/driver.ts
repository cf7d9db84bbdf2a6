import type { Run } from '../measure.ts'

/** A client of Kafka, with the loops that a careful user of it would write. */
export interface Driver {
  /** As npm calls it. */
  readonly name: string
  /** Why it cannot run here. */
  missing(): Promise<string | undefined>
  /** @param servers `host:port` */
  open(servers: string): Promise<OpenDriver>
}

export interface OpenDriver {
  /** 5,000 records at a time, 4 on their way, acknowledged by all replicas. */
  produce(topic: string, count: number): Promise<Run>
  /** From the first record to the last. */
  consume(topic: string, count: number): Promise<Run>
  /** Consume, copy, produce in transactions of about 5,000 records, offsets in them, until `count` are committed. */
  exactlyOnce(from: string, to: string, count: number): Promise<Run>
}

/** Says that a package is not there, or does not run here. */
export async function missingPackage(name: string, load: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await load()
    return undefined
  } catch (error) {
    const { message } = error as Error
    return `${name} is not installed or does not load: ${message.split('\n')[0]}`
  }
}
