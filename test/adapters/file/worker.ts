/** A process of the tests: appends to a log, or reads it as a member of a group, and reports what it does. */
import { file } from '../../../src/adapters/file/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'
import { noHeaders, type OutgoingRecord, type Position } from '../../../src/core/record.ts'
import type { FileAdapter } from '../../../src/adapters/file/index.ts'

export type Command =
  /** Creates the topic if nobody has. */
  | { readonly act: 'create'; readonly path: string; readonly topic: string }
  /** Sends batches of `size` numbered records to all partitions, `batches` of them, one at a time. */
  | {
      readonly act: 'append'
      readonly path: string
      readonly topic: string
      readonly partitions: number
      readonly name: string
      readonly size: number
      readonly batches: number
    }
  | {
      readonly act: 'read'
      readonly path: string
      readonly topic: string
      readonly group: string
      readonly session: number
    }

export type Report =
  /** Everything up to this batch is acknowledged. */
  | { readonly kind: 'acknowledged'; readonly batch: number }
  | { readonly kind: 'assigned'; readonly partitions: readonly number[] }
  | { readonly kind: 'revoked'; readonly partitions: readonly number[]; readonly lost: boolean }
  | { readonly kind: 'received'; readonly partition: number; readonly values: readonly string[] }
  | { readonly kind: 'committed' }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'done' }

const report = (report: Report): void => void process.send?.(report)

async function append(adapter: FileAdapter, command: Extract<Command, { act: 'append' }>): Promise<void> {
  const producer = await adapter.producer()
  for (let batch = 0; batch < command.batches; batch++) {
    const records = Array.from({ length: command.size * command.partitions }, (_, index): OutgoingRecord => {
      const partition = index % command.partitions
      const number = batch * command.size + Math.floor(index / command.partitions)
      const value = Buffer.from(`${command.name} ${number}`)
      return {
        topic: command.topic,
        partition,
        key: null,
        value,
        headers: noHeaders,
        stamp: undefined,
        timestamp: batch
      }
    })
    const results = await producer.send(records)
    if (results.some(result => !result.ok)) throw new Error('not written')
    report({ kind: 'acknowledged', batch })
  }
}

async function read(adapter: FileAdapter, { topic, group, session }: Extract<Command, { act: 'read' }>): Promise<void> {
  const reader = await adapter.logReader!({ group, topics: [topic], sessionTimeout: session, maxBytes: 1 << 20 })
  const last = new Map<number, Position>()
  let open = true
  let busy = Promise.resolve()
  const commit = async (): Promise<void> => {
    try {
      await reader.commit([...last].map(([partition, position]) => ({ topic, partition, position })))
      report({ kind: 'committed' })
    } catch (error) {
      report({ kind: 'refused', code: adapter.classify(error).code })
    }
  }
  process.on('message', word => {
    if (word === 'commit') busy = busy.then(commit)
    else open = false
  })
  while (open) {
    for (const event of await reader.receive({ wait: 50 })) {
      if (event.kind === 'records') {
        last.set(event.partition, event.records.at(-1)!.position)
        const values = event.records.map(({ value }) => Buffer.from(value!).toString())
        report({ kind: 'received', partition: event.partition, values })
        continue
      }
      const partitions = event.partitions.map(({ partition }) => partition)
      if (event.kind === 'partitions-assigned') {
        for (const place of event.partitions) await reader.seek(place, 'committed')
        report({ kind: 'assigned', partitions })
        continue
      }
      report({ kind: 'revoked', partitions, lost: event.deadline === 0 })
      await busy
      const own = [...last].filter(([partition]) => partitions.includes(partition))
      if (event.deadline > 0 && own.length > 0)
        await reader.commit(own.map(([partition, position]) => ({ topic, partition, position })))
      // Of what is lost without warning it goes on to think that it is its own, as a zombie would.
      if (event.deadline > 0) for (const partition of partitions) last.delete(partition)
      event.release()
    }
  }
  await busy
  await reader.close()
}

if (process.send && process.argv[2] !== undefined) {
  const command = JSON.parse(process.argv[2]) as Command
  const adapter = file({ path: command.path })
  await adapter.open(systemEnvironment)
  if (command.act === 'append') await append(adapter, command)
  if (command.act === 'read') await read(adapter, command)
  if (command.act === 'create') {
    const { topic } = command
    await adapter
      .admin()
      .createTopic({ topic, partitions: 3 })
      .catch((error: unknown) => report({ kind: 'refused', code: adapter.classify(error).code }))
  }
  await adapter.close()
  report({ kind: 'done' })
  process.disconnect()
}
