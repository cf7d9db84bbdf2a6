import { Network, Wait } from 'testcontainers'
import { LoopbackContainer } from '../kafka/container.ts'
import { freePorts } from '../support/ports.ts'
import type { EmulatedHub } from '../eventhubs.ts'

const IMAGE = 'mcr.microsoft.com/azure-messaging/eventhubs-emulator:2.1.0'
const STORAGE = 'mcr.microsoft.com/azure-storage/azurite:3.35.0'
const STOP_TIMEOUT = 30_000
const AMQP = 5_672

/** Microsoft's emulator with the hubs that it was started with. Each has the consumer group `readers` beside `$Default`. */
export interface EventhubsEmulator extends AsyncDisposable {
  readonly url: string
  readonly connectionString: string
  stop(): Promise<void>
}

/**
 * Starts Microsoft's emulator and the storage that it needs. `ACCEPT_EULA=Y` in the environment says that you accept its terms.
 * This path follows the documentation of the image and of `testcontainers`; it has not been run yet.
 * @throws Error when the terms are not accepted
 */
export async function startEmulator(hubs: readonly EmulatedHub[]): Promise<EventhubsEmulator> {
  if (process.env.ACCEPT_EULA !== 'Y')
    throw new Error('the Event Hubs emulator starts only when its terms are accepted: set ACCEPT_EULA=Y')
  const port = (await freePorts(1))[0]!
  const network = await new Network().start()
  const storage = await new LoopbackContainer(STORAGE)
    .withNetwork(network)
    .withNetworkAliases('azurite')
    .withWaitStrategy(Wait.forLogMessage(/Table service is successfully listening/))
    .start()
  const started = await new LoopbackContainer(IMAGE)
    .withNetwork(network)
    .withExposedPorts({ container: AMQP, host: port })
    .withEnvironment({ BLOB_SERVER: 'azurite', METADATA_SERVER: 'azurite', ACCEPT_EULA: 'Y' })
    .withCopyContentToContainer([
      { content: configuration(hubs), target: '/Eventhubs_Emulator/ConfigFiles/Config.json', mode: 0o644 }
    ])
    .withWaitStrategy(Wait.forLogMessage(/Emulator Service is Successfully Up/))
    .start()
  const address = `127.0.0.1:${port}`
  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await started.stop({ timeout: STOP_TIMEOUT })
    await storage.stop({ timeout: STOP_TIMEOUT })
    await network.stop()
  }
  return {
    url: `eventhubs://${address}?emulator=true`,
    connectionString: `Endpoint=sb://${address};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true`,
    stop,
    [Symbol.asyncDispose]: stop
  }
}

function configuration(hubs: readonly EmulatedHub[]): string {
  const entities = hubs.map(({ name, partitions }) => ({
    Name: name,
    PartitionCount: String(partitions),
    ConsumerGroups: [{ Name: 'readers' }]
  }))
  const namespace = { Type: 'EventHub', Name: 'emulatorNs1', Entities: entities }
  return JSON.stringify({ UserConfig: { NamespaceConfig: [namespace], LoggingConfig: { Type: 'File' } } })
}
