import type { OptionTable } from '../core/options.ts'
import type { AnyAdapter } from '../spec/index.ts'
import type { EventhubsOptions } from './eventhubs/index.ts'
import type { FileOptions } from './file/index.ts'
import type { KafkaOptions } from './kafka/index.ts'
import type { KinesisOptions } from './kinesis/index.ts'
import type { MemoryOptions } from './memory/index.ts'
import type { PubsubOptions } from './pubsub/index.ts'
import type { PulsarOptions } from './pulsar/index.ts'

/** The options of each adapter, by name: `{ adapter: 'kafka', brokers: [...] }` in `connect`. */
export interface AdapterOptions {
  readonly memory: MemoryOptions
  readonly file: FileOptions
  readonly kafka: KafkaOptions
  readonly pulsar: PulsarOptions
  readonly pubsub: PubsubOptions
  readonly eventhubs: EventhubsOptions
  readonly kinesis: KinesisOptions
}

/** What a folder of `src/adapters/` gives. */
export interface AdapterModule {
  readonly options: OptionTable
  fromUrl(url: string): object
  create(options: never): AnyAdapter
}

/** Loaded when a config names it: what is not used costs nothing, nor does its vendor package. */
export const adapters: { readonly [Name in keyof AdapterOptions]: () => Promise<AdapterModule> } = {
  memory: async () => {
    const { memory, memoryOptions, fromUrl } = await import('./memory/index.ts')
    return { options: memoryOptions, fromUrl, create: memory }
  },
  file: async () => {
    const { file, fileOptions, fromUrl } = await import('./file/index.ts')
    return { options: fileOptions, fromUrl, create: file }
  },
  kafka: async () => {
    const { kafka, kafkaOptions, fromUrl } = await import('./kafka/index.ts')
    return { options: kafkaOptions, fromUrl, create: kafka }
  },
  pulsar: async () => {
    const { pulsar, pulsarOptions, fromUrl } = await import('./pulsar/index.ts')
    return { options: pulsarOptions, fromUrl, create: pulsar }
  },
  pubsub: async () => {
    const { pubsub, pubsubOptions, fromUrl } = await import('./pubsub/index.ts')
    return { options: pubsubOptions, fromUrl, create: pubsub }
  },
  eventhubs: async () => {
    const { eventhubs, eventhubsOptions, fromUrl } = await import('./eventhubs/index.ts')
    return { options: eventhubsOptions, fromUrl, create: eventhubs }
  },
  kinesis: async () => {
    const { kinesis, kinesisOptions, fromUrl } = await import('./kinesis/index.ts')
    return { options: kinesisOptions, fromUrl, create: kinesis }
  }
}
