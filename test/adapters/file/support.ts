import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { file, type FileAdapter, type FileOptions } from '../../../src/adapters/file/index.ts'
import { systemEnvironment, type Environment } from '../../../src/core/environment.ts'
import { noHeaders, type OutgoingRecord, type RawRecord } from '../../../src/core/record.ts'
import type { AdminDriver, ProducerDriver, StartAt } from '../../../src/spec/index.ts'
import type { Command, Report } from './worker.ts'

/** A folder of its own, removed after the test. */
export function folder(name = 'log'): string {
  const parent = mkdtempSync(join(tmpdir(), 'tidemark-file-'))
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }))
  return join(parent, name)
}

/** An adapter on the folder, closed after the test. */
export async function open(
  path: string,
  options: Partial<FileOptions> = {},
  environment: Environment = systemEnvironment
): Promise<FileAdapter> {
  const adapter = file({ path, ...options })
  onTestFinished(() => adapter.close())
  await adapter.open(environment)
  return adapter
}

export function record(topic: string, value: string | null, more: Partial<OutgoingRecord> = {}): OutgoingRecord {
  const bytes = value === null ? null : Buffer.from(value)
  return { topic, partition: 0, key: null, value: bytes, headers: noHeaders, stamp: undefined, timestamp: 0, ...more }
}

/** Sends what must succeed. */
export async function send(producer: ProducerDriver, ...records: OutgoingRecord[]): Promise<void> {
  for (const result of await producer.send(records)) if (!result.ok) throw result.error
}

/** A topic, and a producer for it. */
export async function prepare(
  adapter: FileAdapter,
  topic: Parameters<AdminDriver['createTopic']>[0]
): Promise<ProducerDriver> {
  await adapter.admin().createTopic(topic)
  return adapter.producer()
}

export async function readAll(
  adapter: FileAdapter,
  topic: string,
  partition = 0,
  from: StartAt = 'earliest',
  maxBytes: number = 1 << 20
): Promise<RawRecord[]> {
  const reader = await adapter.partitionReader!({ topic, partition, from, readCommitted: true, maxBytes })
  const records: RawRecord[] = []
  for (let atEnd = false; !atEnd;) {
    const read = await reader.receive({ wait: 0 })
    if (read.records.length === 0 && !read.atEnd) throw new Error(`no end after ${records.length} records`)
    records.push(...read.records)
    atEnd = read.atEnd
  }
  await reader.close()
  return records
}

export function texts(records: readonly RawRecord[]): string[] {
  return records.map(({ value }) => (value === null ? '<null>' : Buffer.from(value).toString()))
}

/** Resolves when the condition holds; rejects after `within` ms. */
export async function until(what: string, condition: () => boolean, within = 15_000): Promise<void> {
  const deadline = performance.now() + within
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** A process that works on the log as it is told; ended after the test. */
export class Worker {
  readonly reports: Report[] = []
  readonly exited: Promise<void>
  readonly #process: ChildProcess

  constructor(command: Command) {
    const program = fileURLToPath(new URL('worker.ts', import.meta.url))
    this.#process = fork(program, [JSON.stringify(command)], { execArgv: ['--no-warnings'] })
    this.#process.on('message', report => this.reports.push(report as Report))
    this.exited = new Promise(resolve => this.#process.once('exit', () => resolve()))
    onTestFinished(() => this.kill())
  }

  reported<Kind extends Report['kind']>(kind: Kind): Extract<Report, { kind: Kind }>[] {
    return this.reports.filter(report => report.kind === kind) as Extract<Report, { kind: Kind }>[]
  }

  /** The partitions that it says it holds. */
  get held(): number[] {
    const held = new Set<number>()
    for (const report of this.reports) {
      if (report.kind === 'assigned') for (const partition of report.partitions) held.add(partition)
      if (report.kind === 'revoked') for (const partition of report.partitions) held.delete(partition)
    }
    return [...held].toSorted((left, right) => left - right)
  }

  tell(word: 'commit' | 'close'): void {
    this.#process.send(word)
  }

  /** Stops it (SIGSTOP) outside of a write: inside of one it would keep the lock of the log. */
  async stop(path: string): Promise<void> {
    const database = new DatabaseSync(join(path, 'log.db'))
    try {
      for (let attempt = 0; attempt < 100; attempt++) {
        this.#process.kill('SIGSTOP')
        await new Promise(resolve => setTimeout(resolve, 20))
        try {
          database.exec('BEGIN IMMEDIATE; ROLLBACK')
          return
        } catch {
          this.#process.kill('SIGCONT')
        }
      }
      throw new Error('it was never found outside of a write')
    } finally {
      database.close()
    }
  }

  continue(): void {
    this.#process.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.exited
  }
}
