/**
 * `node test/adapters/kinesis/flights-storm.ts [RUNS]`: the flights example, kill included, on a local Kinesis that refuses
 * one request in ten, with the shards of its streams split a third of the way and merged at two thirds. Needs `npm run
 * build`. Exit code 1 when a run was wrong.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as wait } from 'node:timers/promises'
import {
  KinesisClient,
  ListShardsCommand,
  ListStreamsCommand,
  MergeShardsCommand,
  SplitShardCommand,
  type Shard
} from '@aws-sdk/client-kinesis'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { startKinesis } from '../../../testcontainers/kinesis.ts'
import { ThrottlingProxy } from './throttling-proxy.ts'

const runs = Number(process.argv[2] ?? 1)
const main = fileURLToPath(new URL('../../../examples/flights/main.ts', import.meta.url))

await using server = await startKinesis()
await using proxy = await ThrottlingProxy.start(server.endpoint)
const client = new KinesisClient({
  endpoint: server.endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  requestHandler: new NodeHttpHandler()
})
proxy.share = 0.1
for (let run = 1; run <= runs; run++) {
  const before = new Set(await streams())
  const env = { ...process.env, BROKER: `kinesis://us-east-1?endpoint=${proxy.endpoint}` }
  const child = spawn(process.execPath, [main], { env, stdio: 'inherit' })
  const exit = once(child, 'exit')
  const changed = reshard(before).catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
    return 0
  })
  const [code] = await exit
  if (code !== 0) process.exitCode = 1
  console.log(
    `run ${run}: exit ${String(code)}, ${await changed} changes of shards, ${proxy.refused} of ${proxy.passed + proxy.refused} requests refused`
  )
}
client.destroy()

async function streams(): Promise<string[]> {
  const names: string[] = []
  for (;;) {
    const last = names.at(-1)
    const { StreamNames = [], HasMoreStreams } = await client.send(
      new ListStreamsCommand(last ? { ExclusiveStartStreamName: last } : {})
    )
    names.push(...StreamNames)
    if (!HasMoreStreams) return names
  }
}

async function reshard(before: ReadonlySet<string>): Promise<number> {
  let made: string[] = []
  while (!['flights-', 'hourly-', 'worst-'].every(prefix => made.some(name => name.startsWith(prefix)))) {
    made = (await streams()).filter(name => !before.has(name) && /^(flights|hourly|worst)-[^.]*$/.test(name))
    await wait(50)
  }
  await wait(3_000)
  for (const name of made) {
    const [, shard] = await open(name)
    const middle =
      (BigInt(shard!.HashKeyRange!.StartingHashKey!) + BigInt(shard!.HashKeyRange!.EndingHashKey!) + 1n) / 2n
    await client.send(
      new SplitShardCommand({ StreamName: name, ShardToSplit: shard!.ShardId!, NewStartingHashKey: String(middle) })
    )
  }
  await wait(3_000)
  for (const name of made) {
    const [, , left, right] = await open(name)
    await client.send(
      new MergeShardsCommand({ StreamName: name, ShardToMerge: left!.ShardId!, AdjacentShardToMerge: right!.ShardId! })
    )
  }
  return 2 * made.length
}

async function open(name: string): Promise<Shard[]> {
  const { Shards = [] } = await client.send(new ListShardsCommand({ StreamName: name }))
  return Shards.filter(({ SequenceNumberRange }) => SequenceNumberRange!.EndingSequenceNumber === undefined).sort(
    (left, right) =>
      BigInt(left.HashKeyRange!.StartingHashKey!) < BigInt(right.HashKeyRange!.StartingHashKey!) ? -1 : 1
  )
}
