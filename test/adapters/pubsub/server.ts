import { PubSub } from '@google-cloud/pubsub'
import { afterAll, inject } from 'vitest'
import type { ProvidedServer } from '../../global-setup.ts'
import { fromUrl, pubsub, type PubsubOptions } from '../../../src/adapters/pubsub/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { Delivery, QueueSubscription } from '../../../src/spec/index.ts'
import * as support from '../../support/records.ts'

export { rejection as failure } from '../../support/failure.ts'
export * from '../../support/records.ts'

/** The server of the whole run, or the sentence that says why there is none. */
export const server: ProvidedServer = inject('pubsub')
export const running: boolean = server.state === 'running'
export const notRun: string = server.state === 'running' ? '' : ` (not run: ${server.reason})`
/** Of the server of the run. */
export const url: string = server.state === 'running' ? server.url : 'pubsub://nowhere?emulator=127.0.0.1:1'

const cleanups: (() => unknown)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

/** Called after the last test of the file: tests may run side by side, most of them only wait for deadlines. */
export function atEnd(cleanup: () => unknown): void {
  cleanups.push(cleanup)
}

export type PubsubAdapter = ReturnType<typeof pubsub>

/** An open adapter, closed at the end. On the server of the run unless told otherwise. */
export async function opened(options: PubsubOptions = {}): Promise<PubsubAdapter> {
  const adapter = pubsub({ ...fromUrl(url), ackDeadline: 10_000, ...options })
  await adapter.open(systemEnvironment)
  atEnd(() => adapter.close())
  return adapter
}

/** Google's own client on a server, closed at the end: what somebody without tidemark uses. */
export function foreignClient(address: string = url): PubSub {
  const { projectId, emulator } = fromUrl(address)
  const client = new PubSub({
    projectId: projectId!,
    apiEndpoint: emulator!,
    emulatorMode: true,
    clientOptions: { universeDomain: 'googleapis.com' }
  })
  atEnd(() => client.close())
  return client
}

/** A subscription of one group, closed at the end. */
export async function subscribe(
  adapter: PubsubAdapter,
  topic: string,
  options: {
    readonly group?: string
    readonly partitions?: readonly number[] | undefined
    readonly maxBytes?: number
  } = {}
): Promise<QueueSubscription> {
  const { group = 'group', maxBytes = 1 << 20 } = options
  const partitions = 'partitions' in options ? options.partitions : [0]
  const subscription = await adapter.queueSubscription!({ group, topic, partitions, maxBytes })
  atEnd(() => subscription.close())
  return subscription
}

/** Receives until so many deliveries are there. */
export async function take(
  subscription: QueueSubscription,
  count: number,
  timeout: number = 15_000
): Promise<Delivery[]> {
  const taken: Delivery[] = []
  for (const deadline = performance.now() + timeout; taken.length < count;) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${count} deliveries, ${taken.length} came`)
    taken.push(...(await subscription.receive({ wait: 200 })))
  }
  return taken
}

/** What comes within a while. */
export async function linger(subscription: QueueSubscription, milliseconds: number): Promise<Delivery[]> {
  const taken: Delivery[] = []
  for (const deadline = performance.now() + milliseconds; performance.now() < deadline;)
    taken.push(...(await subscription.receive({ wait: Math.max(1, Math.min(100, deadline - performance.now())) })))
  return taken
}

export function text(value: Uint8Array | null | undefined): string | undefined {
  return value === null || value === undefined ? undefined : Buffer.from(value).toString()
}

/** Values in ascending order. */
export function sorted(deliveries: readonly Delivery[]): (string | undefined)[] {
  return deliveries.map(({ value }) => text(value)).toSorted((left, right) => Number(left) - Number(right))
}

/** The same with more patience: pipelines with workers of their own are slow on a busy machine. */
export function until(condition: () => Promise<boolean>, patience: number = 150_000): Promise<void> {
  return support.until(condition, patience)
}
