import { inject } from 'vitest'
import { fromUrl, kinesis, type KinesisOptions } from '../../../src/adapters/kinesis/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import type { AnyAdapter } from '../../../src/spec/index.ts'

/** The Kinesis that the whole run shares. */
const server = inject('kinesis')

export const running: boolean = server.state === 'running'
/** For the title of what cannot run. */
export const notRun: string = server.state === 'running' ? '' : ` (not run: ${server.reason})`
export const url: string = server.state === 'running' ? server.url : 'kinesis://us-east-1?endpoint=http://127.0.0.1:1'

export async function open(options: Partial<KinesisOptions> = {}): Promise<AnyAdapter> {
  const adapter = kinesis({ ...fromUrl(url), requestTimeout: 10_000, ...options })
  await adapter.open(systemEnvironment)
  return adapter
}

/** A request past the adapter, by the client that it has open. */
export async function ask(adapter: AnyAdapter, name: string, input: object): Promise<any> {
  const module = (await import('@aws-sdk/client-kinesis')) as unknown as Record<string, new (input: object) => object>
  return adapter.native.send(new module[`${name}Command`]!(input))
}

export interface Shard {
  readonly ShardId: string
  readonly ParentShardId?: string
  readonly HashKeyRange: { readonly StartingHashKey: string; readonly EndingHashKey: string }
  readonly SequenceNumberRange: { readonly EndingSequenceNumber?: string }
}

/** Open shards, by their hash keys. */
export async function openShards(adapter: AnyAdapter, stream: string): Promise<Shard[]> {
  const { Shards } = (await ask(adapter, 'ListShards', { StreamName: stream })) as { Shards: Shard[] }
  return Shards.filter(({ SequenceNumberRange }) => SequenceNumberRange.EndingSequenceNumber === undefined).sort(
    (left, right) => (BigInt(left.HashKeyRange.StartingHashKey) < BigInt(right.HashKeyRange.StartingHashKey) ? -1 : 1)
  )
}

/** Splits a shard in the middle, or where it is said. Resolves when both halves can be written to. */
export async function split(adapter: AnyAdapter, stream: string, place: number, at?: bigint): Promise<void> {
  const shards = await openShards(adapter, stream)
  const { ShardId, HashKeyRange } = shards[place]!
  const middle = (BigInt(HashKeyRange.StartingHashKey) + BigInt(HashKeyRange.EndingHashKey) + 1n) / 2n
  const input = { StreamName: stream, ShardToSplit: ShardId, NewStartingHashKey: String(at ?? middle) }
  await ask(adapter, 'SplitShard', input)
  await untilOpen(adapter, stream, shards.length + 1)
}

/** Merges a shard with the next one. */
export async function merge(adapter: AnyAdapter, stream: string, place: number): Promise<void> {
  const shards = await openShards(adapter, stream)
  const input = {
    StreamName: stream,
    ShardToMerge: shards[place]!.ShardId,
    AdjacentShardToMerge: shards[place + 1]!.ShardId
  }
  await ask(adapter, 'MergeShards', input)
  await untilOpen(adapter, stream, shards.length - 1)
}

export async function updateShardCount(adapter: AnyAdapter, stream: string, count: number): Promise<void> {
  const input = { StreamName: stream, TargetShardCount: count, ScalingType: 'UNIFORM_SCALING' }
  await ask(adapter, 'UpdateShardCount', input)
  await untilOpen(adapter, stream, count)
}

async function untilOpen(adapter: AnyAdapter, stream: string, count: number): Promise<void> {
  for (const deadline = performance.now() + 10_000; ;) {
    const active = await ask(adapter, 'DescribeStreamSummary', { StreamName: stream })
    const { StreamStatus, OpenShardCount } = active.StreamDescriptionSummary
    if (StreamStatus === 'ACTIVE' && OpenShardCount === count) return
    if (performance.now() > deadline) throw new Error(`'${stream}' has ${OpenShardCount} shards, not ${count}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** What a request is answered with instead: an error to throw, an output to give, or `undefined` to let it through. */
export type Judge = (name: string, input: any) => object | undefined | Promise<object | undefined>

interface Middlewares {
  readonly middlewareStack: {
    add(
      middleware: (next: (args: any) => Promise<any>, context: any) => (args: any) => Promise<any>,
      options: object
    ): void
  }
}

/** Faults that no local server has, put into the client of the adapter. */
export function injectFaults(adapter: AnyAdapter, judge: Judge): void {
  const { middlewareStack } = adapter.native as Middlewares
  middlewareStack.add(
    (next, context) => async args => {
      const verdict = await judge(String(context.commandName).replace(/Command$/, ''), args.input)
      if (verdict instanceof Error) throw verdict
      return verdict ? { output: verdict, response: {} } : next(args)
    },
    { step: 'initialize', name: `faults-${Math.random()}` }
  )
}

/** An error as the AWS client throws it. */
export function serviceError(name: string, message = 'injected', status = 400): Error {
  return Object.assign(new Error(message), {
    name,
    $fault: status < 500 ? 'client' : 'server',
    $metadata: { httpStatusCode: status }
  })
}

export const throttled = (): Error =>
  serviceError('ProvisionedThroughputExceededException', 'Rate exceeded for shard shardId-000000000000')
