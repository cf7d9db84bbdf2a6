import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Codec } from '../../src/core/codec.ts'
import { StreamError } from '../../src/core/errors.ts'
import { avro, json, jsonSchema, memoryRegistry, protobuf } from '../../src/schema/index.ts'
import { HeaderSchema, type Header } from './generated/trade_pb.js'
import { bound } from './support.ts'

// What an error says ends up in logs and in the headers of parked records: nothing of a value may be in it, nor in its causes.

const secret = 'hunter2-4111111111111111'

function everythingIn(error: unknown, depth = 0): string {
  if (depth > 5 || typeof error !== 'object' || error === null) return String(error)
  const { message, stack, cause } = error as Error
  return [message, stack, JSON.stringify(error), everythingIn(cause, depth + 1)].join('\n')
}

function thrownBy(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

const field = (name: string, type: unknown): object => ({ name, type })
const record = {
  type: 'record',
  name: 'R',
  fields: [
    field('card', 'int'),
    field('name', 'string'),
    field('fee', { type: 'bytes', logicalType: 'decimal', precision: 4, scale: 2 }),
    field('side', { type: 'enum', name: 'E', symbols: ['A'] }),
    field('u', ['null', 'int'])
  ]
}
const good = { card: 1, name: 'x', fee: '1.00', side: 'A', u: null }

test.each<[string, () => Codec<any>, readonly unknown[]]>([
  [
    'avro',
    () => avro(record as object),
    [
      secret,
      ...['card', 'fee', 'side', 'u'].map(name => ({ ...good, [name]: secret })),
      { ...good, name: `${secret}\ud800` }
    ]
  ],
  [
    'json',
    () => json(z.object({ card: z.number(), side: z.literal('A'), email: z.email() }).partial()),
    [secret, { card: secret }, { side: secret }, { email: secret }]
  ],
  [
    'json schema',
    () =>
      jsonSchema({
        type: 'object',
        properties: {
          card: { type: 'integer' },
          side: { enum: ['A'] },
          name: { pattern: '^x$', maxLength: 3 },
          is: { const: 'A' }
        }
      }),
    [secret, { card: secret }, { side: secret }, { name: secret }, { is: secret }]
  ],
  ['protobuf', () => protobuf<Header>(HeaderSchema), [secret, { source: secret }]]
])('%s', async (_, make, values) => {
  for (const registry of [undefined, memoryRegistry()]) {
    const codec = await bound(make(), registry).catch(error => {
      if (registry) throw error
      return undefined
    })
    if (!codec) continue
    for (const value of values) {
      const error = thrownBy(() => codec.encode(value))
      expect(StreamError.is(error) && error.code).toBe('bad-record')
      expect(everythingIn(error)).not.toContain('hunter2')
    }
    const head = Buffer.from([0, 0, 0, 0, 1, 0])
    for (const text of [secret, `{"card":"${secret}"}`, `{"card":${secret}`, `\u0002${secret}`, `\n${secret}`]) {
      for (const bytes of [Buffer.from(text), Buffer.concat([head, Buffer.from(text)])]) {
        try {
          codec.decode(bytes)
        } catch (error) {
          expect(everythingIn(error)).not.toContain('hunter2')
        }
      }
    }
  }
})
