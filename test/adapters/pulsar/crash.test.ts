/**
 * The broker is killed with 500 sends in flight or more, of which it has stored some, and started again on its data; the
 * sender goes on by itself. Nothing may be lost or, behind a reader that drops repeats, doubled; with broker deduplication
 * nothing is doubled in the topic either. (With batching this loses acknowledged records: what is sent again is cut into
 * other batches, and the broker drops a batch whole.) `TIDEMARK_CRASHES=10` says how often; 2 unless told.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import WebSocket from 'ws'
import { fromUrl, pulsar } from '../../../src/adapters/pulsar/index.ts'
import { Sender } from '../../../src/broker/index.ts'
import { systemEnvironment, uuidv7Bytes } from '../../../src/core/environment.ts'
import type { RawRecord } from '../../../src/core/record.ts'
import { decodeStamp, encodeStamp } from '../../../src/core/stamp.ts'
import { type PulsarServer, startPulsar } from '../../../testcontainers/pulsar.ts'
import { type PulsarAdapter, readAll, record, texts, unique } from './server.ts'

const shared = inject('pulsar')
const crashes = Number(process.env.TIDEMARK_CRASHES ?? 2)
const count = 3_000
// A lane fills up when half of them are answered: never less than 500 in the middle of a batch.
const maxInFlight = 1_000
// Large enough for the broker to be in the middle of them when it is killed; all of them in one batch.
const valueBytes = 2_000

/** A producer's way to the broker, on which answers get lost from one of them on, until the connection breaks. */
class Line {
  /** So many answers arrive. */
  cutAt = Infinity
  cut = false
  sent = 0
  answered = 0
  /** Answers that said that a record had been stored before. */
  repeated = 0

  get inFlight(): number {
    return this.sent - this.answered
  }
}

/** What the adapter takes for the class of `ws`. */
function clientOn(line: Line): unknown {
  return class extends WebSocket {
    readonly #writes: boolean
    #deaf = false

    constructor(address: string, options: object) {
      super(address, options)
      this.#writes = address.includes('/producer/')
    }

    override send(data: any, options?: any): void {
      super.send(data, options)
      if (this.#writes) line.sent++
    }

    override emit(event: string, ...parts: any[]): boolean {
      if (event === 'message' && this.#writes) {
        if (!line.cut && line.answered === line.cutAt) line.cut = this.#deaf = true
        if (this.#deaf) return false
        line.answered++
        if (String(parts[0]).includes('CP///////////w')) line.repeated++
      }
      return super.emit(event as 'message', ...(parts as [never, never]))
    }
  }
}

interface Prepared {
  readonly line: Line
  readonly adapter: PulsarAdapter
  readonly topic: string
  start(): Promise<void>
  /** By the broker, whatever we know. */
  stored(): Promise<number>
  close(): Promise<void>
}

/** As the pipeline does: by producer and sequence, out of order included. */
function withoutRepeats(records: readonly RawRecord[]): RawRecord[] {
  const seen = new Set<string>()
  return records.filter(({ stamp }) => {
    const { producer, sequence } = decodeStamp(stamp!)
    const id = `${producer} ${sequence}`
    return !seen.has(id) && seen.add(id)
  })
}

describe.skipIf(shared.state !== 'running')('a broker that is killed with 500 sends in flight', () => {
  let server: PulsarServer

  beforeAll(async () => {
    server = await startPulsar()
  })
  afterAll(() => server?.stop())

  async function prepare(deduplication: boolean): Promise<Prepared> {
    const line = new Line()
    const options = { deduplication, maxInFlight, requestTimeout: 10_000, client: clientOn(line) as never }
    const adapter: PulsarAdapter = pulsar({ ...fromUrl(server.url), ...options })
    await adapter.open(systemEnvironment)
    const topic = unique('crash')
    await adapter.admin().createTopic({ topic, partitions: 1 })
    const sender = new Sender(adapter, systemEnvironment, false, 64 * 1024 * 1024)
    const producer = uuidv7Bytes(systemEnvironment).toString('latin1')
    const start = (): Promise<void> =>
      sender.send(
        Array.from({ length: count }, (_, index) =>
          record(topic, 0, String(index).padEnd(valueBytes), {
            stamp: encodeStamp(producer, index + 1, 1_700_000_000_000, undefined, false)
          })
        )
      )
    const stored = async (): Promise<number> => {
      const path = `persistent/public/default/${topic}-partition-0/lastMessageId`
      const answer = await fetch(`http://${new URL(server.url).host}/admin/v2/${path}`)
      return ((await answer.json()) as { entryId: number }).entryId + 1
    }
    const close = async (): Promise<void> => {
      await sender.close()
      await adapter.close()
    }
    return { line, adapter, topic, start, stored, close }
  }

  test.each(Array.from({ length: crashes }, (_, index) => index + 1))(
    'crash %i: 0 lost, 0 doubled',
    { timeout: 120_000 },
    async number => {
      const patience = AbortSignal.timeout(60_000)
      const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
        while (!(await condition())) await wait(1, undefined, { signal: patience })
      }
      const [plain, exact] = [await prepare(false), await prepare(true)]
      for (const { line } of [plain, exact]) line.cutAt = Math.floor(Math.random() * 1_500)
      const done = Promise.all([plain.start(), exact.start()])
      await until(() => plain.line.cut && exact.line.cut)
      // Every other time not at once, but when the broker has stored most of what is in flight.
      if (number % 2 === 0)
        for (const { line, stored } of [plain, exact]) await until(async () => (await stored()) - line.answered >= 450)
      const inFlight = [plain, exact].map(({ line }) => line.inFlight)
      await server.kill()
      for (const each of inFlight) expect(each).toBeGreaterThanOrEqual(500)
      await server.restart()
      await done

      const expected = Array.from({ length: count }, (_, index) => String(index))
      const read = async ({ adapter, topic }: Prepared): Promise<RawRecord[]> => readAll(adapter, topic)
      const [raw, once] = [await read(plain), await read(exact)]
      const numbersOf = (records: readonly RawRecord[]): string[] => texts(records).map(text => text.trimEnd())
      expect(numbersOf(withoutRepeats(raw))).toEqual(expected)
      expect(numbersOf(once)).toEqual(expected)
      const repeats = [raw.length - count, exact.line.repeated]
      // It was put to the proof: the broker got records twice, and answered that it had them.
      if (number % 2 === 0) for (const each of repeats) expect(each).toBeGreaterThanOrEqual(450)
      console.log(
        `crash ${number} with ${inFlight.join(' and ')} in flight: ${repeats[0]} are there twice without deduplication, ${repeats[1]} were dropped by it`
      )
      await Promise.all([plain.close(), exact.close()])
    }
  )
})
