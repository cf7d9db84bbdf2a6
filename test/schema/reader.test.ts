import avsc from 'avsc'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { createEngine } from '../../src/schema/avro/codec.ts'
import { resolverOf } from '../../src/schema/avro/engine.ts'
import { parseAvro } from '../../src/schema/avro/parse.ts'
import type { Avsc } from '../../src/schema/avro/peer.ts'
import { anySchema } from './any-schema.ts'
import { anyValue } from './any-value.ts'
import { hex, varint } from './support.ts'

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
beforeAll(() => console.log(`seed ${seed}: repeat with FUZZ_SEED=${seed}`))

// The reader of one pass against the two it stands for: the proof, and then the package. Values, and bytes that are none.

test.each(['bigint', 'number'] as const)('one pass gives what two give, long as %s', long => {
  const outcomes = { value: 0, refused: 0 }
  fc.assert(
    fc.property(
      anySchema(3),
      fc.nat(2 ** 30),
      fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 3 }),
      (schema, pick, spoilt) => {
        const type = parseAvro(schema)
        const engine = createEngine(avsc as unknown as Avsc, type, long)
        // Written with bigints: the bytes are the same, and some are beyond what a number holds.
        const writer = createEngine(avsc as unknown as Avsc, type, 'bigint')
        const values = fc.sample(anyValue(type), { seed: pick, numRuns: 2 })
        const payloads = values.map(value => Buffer.from(writer.encode(value, 0)))
        for (const payload of payloads) {
          for (const [at, byte] of spoilt) if (at < payload.length) payload[at] = byte
          const attempt = (read: () => unknown): unknown => {
            try {
              return read()
            } catch (error) {
              return (error as { code: string }).code
            }
          }
          const one = attempt(() => ({ value: engine.decode(payload, 0, engine.proof, undefined) }))
          // A resolver makes it go the long way: the proof first.
          const two = attempt(() => {
            engine.proof(payload, 0)
            try {
              return { value: engine.type.decode(payload, 0).value }
            } catch {
              throw Object.assign(new Error(), { code: 'bad-record' })
            }
          })
          outcomes[typeof one === 'string' ? 'refused' : 'value']++
          expect(one, JSON.stringify(schema)).toEqual(two)
        }
      }
    ),
    { seed, numRuns: 1_500 }
  )
  expect(outcomes.value).toBeGreaterThan(100)
  expect(outcomes.refused).toBeGreaterThan(100)
})

test('strings of every length around the limits, and what is not UTF-8 at any place in them', () => {
  const engine = createEngine(avsc as unknown as Avsc, parseAvro('"string"'), 'bigint')
  const read = (text: Buffer): unknown =>
    engine.decode(Buffer.concat([varint(text.length), text]), 0, engine.proof, undefined)
  for (let size = 0; size <= 70; size++) {
    const text = 'abcdefghij'.repeat(7).slice(0, size)
    expect(read(Buffer.from(text))).toBe(text)
    for (let at = 0; at <= size; at++) {
      // The character that stands for what is not UTF-8 is one like others.
      for (const odd of ['é', '雪', '\uFFFD', '😀', '\0', '\uFEFF']) {
        const mixed = text.slice(0, at) + odd + text.slice(at)
        expect(read(Buffer.from(mixed))).toBe(mixed)
      }
      for (const none of ['80', 'c3', 'c080', 'eda080', 'ff', 'efbf']) {
        const spoiled = Buffer.concat([Buffer.from(text.slice(0, at)), hex(none), Buffer.from(text.slice(at))])
        expect(() => read(spoiled)).toThrow('not UTF-8')
      }
    }
  }
})

test('longs as numbers, around 2^52 and 2^53: the same are read in one pass, in two, through a resolver, and written', () => {
  const build = (schema: string, long: 'number' | 'bigint' = 'number'): ReturnType<typeof createEngine> =>
    createEngine(avsc as unknown as Avsc, parseAvro(schema), long)
  const engine = build('"long"')
  const double = build('"double"')
  const time = build('{"type":"long","logicalType":"timestamp-millis"}')
  for (const power of [2n ** 52n, 2n ** 53n])
    for (const sign of [1n, -1n])
      for (let distance = -4n; distance <= 4n; distance++) {
        const value = sign * (power + distance)
        const number = Number(value)
        const fits = power + distance <= 2n ** 53n - 2n
        const bytes = varint(value)
        const attempts = [
          () => engine.decode(bytes, 0, engine.proof, undefined),
          () => engine.type.decode(bytes, 0).value,
          () => engine.decode(bytes, 0, engine.proof, resolverOf(engine.type, engine.type)),
          () => (engine.encode(number, 0).equals(bytes) ? number : 'other bytes')
        ]
        // A double takes all of them, rounded as JavaScript does.
        for (const long of ['number', 'bigint'] as const) {
          const writer = build('"long"', long)
          const read = (): unknown => double.decode(bytes, 0, writer.proof, resolverOf(double.type, writer.type))
          expect(read(), `${value} as double, ${long}`).toBe(number)
        }
        // A Date holds less than 2^53, and more than 2^52.
        if (power === 2n ** 52n)
          attempts.push(
            () => (time.decode(bytes, 0, time.proof, undefined) as Date).getTime(),
            () => (time.type.decode(bytes, 0).value as Date).getTime(),
            () => (time.encode(new Date(number), 0).equals(bytes) ? number : 'other bytes')
          )
        for (const [index, attempt] of attempts.entries())
          if (fits) expect(attempt(), `${value}, ${index}`).toBe(number)
          else expect(attempt, `${value}, ${index}`).toThrow()
      }
})
