/**
 * Azure Event Hubs for tests and experiments, on the loopback address, gone when the process that started it ends.
 *
 * ```ts
 * import { startEventhubs } from '../testcontainers/eventhubs.ts'
 *
 * await using server = await startEventhubs()  // stops it at the end of the block; or call stop()
 * server.url                                   // eventhubs://127.0.0.1:20123?emulator=true&management=...
 * server.connectionString                      // for vendor clients
 * await server.control('throttle', { hub: 'trades', count: 3 })  // what goes wrong on purpose
 * await server.kill()                          // like a crash; it stays down until restart()
 * await server.restart()                       // same data, same ports
 * ```
 *
 * It is a double of ours (`eventhubs/double/`): a process of its own that speaks as much of AMQP 1.0 as the official clients
 * for Node and Python need, unmodified, and keeps what is written in a SQLite file. **It is not the service**: what was
 * shown on it alone is listed in `docs/adapters/eventhubs.md`. Microsoft's emulator, a Docker image, knows only the hubs in
 * its configuration: `startEventhubsEmulator` runs it with some.
 *
 * In a test file prefer the server that the whole run shares: `inject('eventhubs')`. From a shell: `npm run up -- eventhubs`.
 */
import { type EventhubsServer, type EventhubsServerOptions, startDouble } from './eventhubs/process.ts'
import { hasDocker } from './support/docker.ts'

export type { EventhubsServer, EventhubsServerOptions } from './eventhubs/process.ts'
export type { EventhubsEmulator } from './eventhubs/container.ts'

/** Says in one sentence why none can be started; the double always can. */
export async function eventhubsAvailable(): Promise<string | undefined> {
  return undefined
}

/**
 * Starts a double of its own for the caller. It resolves when clients can connect.
 * @throws Error with the end of the server's log when it does not come up
 */
export function startEventhubs(options: EventhubsServerOptions = {}): Promise<EventhubsServer> {
  return startDouble(options)
}

/** Says in one sentence why Microsoft's emulator cannot be started on this machine; undefined when it can. */
export async function emulatorAvailable(): Promise<string | undefined> {
  return (await hasDocker()) ? undefined : 'the Event Hubs emulator needs Docker, and no Docker daemon answers'
}

/** Starts Microsoft's emulator with the hubs named. @throws Error when no Docker daemon answers */
export async function startEventhubsEmulator(
  hubs: readonly EmulatedHub[]
): Promise<import('./eventhubs/container.ts').EventhubsEmulator> {
  // Loaded late: it brings the Docker client.
  const { startEmulator } = await import('./eventhubs/container.ts')
  return startEmulator(hubs)
}

/** A hub of the emulator: it makes none while it runs. */
export interface EmulatedHub {
  readonly name: string
  readonly partitions: number
}
