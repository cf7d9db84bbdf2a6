import { afterAll, beforeAll, inject, onTestFinished } from 'vitest'
import { eventhubs, type EventhubsOptions, fromUrl } from '../../../src/adapters/eventhubs/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { PartitionReader, StartAt } from '../../../src/spec/index.ts'
import type { RawRecord } from '../../../src/core/record.ts'
import { type EventhubsServer, type EventhubsServerOptions, startEventhubs } from '../../../testcontainers/eventhubs.ts'

const asked = inject('eventhubs')
export const running: boolean = asked.state === 'running'
/** For the title of what cannot run. */
export const notRun: string = asked.state === 'running' ? '' : ` (not run: ${asked.reason})`

export type EventhubsAdapter = ReturnType<typeof eventhubs>

/** A server of the file's own: what tests do to it on purpose must not meet others. */
export class OwnServer {
  #server: EventhubsServer | undefined

  constructor(options: EventhubsServerOptions = {}) {
    beforeAll(async () => {
      if (running) this.#server = await startEventhubs(options)
    })
    afterAll(() => this.#server?.stop())
  }

  get server(): EventhubsServer {
    if (!this.#server) throw new Error('the server was not started')
    return this.#server
  }

  /** Closed after the test. */
  async open(options: Partial<EventhubsOptions> = {}): Promise<EventhubsAdapter> {
    return opened({ ...fromUrl(this.server.url), requestTimeout: 5_000, ...options })
  }
}

/** Closed after the test. */
export async function opened(options: EventhubsOptions): Promise<EventhubsAdapter> {
  const adapter = eventhubs(options)
  await adapter.open(systemEnvironment)
  onTestFinished(() => adapter.close())
  return adapter
}

/** Closed with its adapter. */
export function reader(
  adapter: EventhubsAdapter,
  topic: string,
  more: Partial<Parameters<NonNullable<EventhubsAdapter['partitionReader']>>[0]> = {}
): Promise<PartitionReader> {
  const from: StartAt = 'earliest'
  return adapter.partitionReader!({ topic, partition: 0, from, readCommitted: true, maxBytes: 1 << 20, ...more })
}

/** Receives until so many records are there. */
export async function take(from: PartitionReader, count: number, timeout = 20_000): Promise<RawRecord[]> {
  const taken: RawRecord[] = []
  const signal = AbortSignal.timeout(timeout)
  while (taken.length < count) taken.push(...(await from.receive({ wait: 500, signal, end: false })).records)
  return taken
}
