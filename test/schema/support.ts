import type { Codec } from '../../src/core/codec.ts'
import { StreamError, type ErrorCode } from '../../src/core/errors.ts'
import type { RegisteredSchema, SchemaId, SchemaRegistry } from '../../src/core/registry.ts'
import { expect } from 'vitest'

export const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

/** The codec as a client would have it. */
export function bound<Value>(codec: Codec<Value>, registry?: SchemaRegistry, topic = 'trades'): Promise<Codec<Value>> {
  return codec.bind!({ topic, part: 'value', registry })
}

/** The same for the values of records, which have headers. */
export function inRecords<Value>(
  codec: Codec<Value>,
  registry: SchemaRegistry,
  topic = 'trades'
): Promise<Codec<Value>> {
  return codec.bind!({ topic, part: 'value', registry, headers: true })
}

/** The error of a call, with its code checked. */
export async function failure(code: ErrorCode, call: () => unknown): Promise<StreamError> {
  try {
    await call()
  } catch (error) {
    if (!StreamError.is(error)) throw error
    expect(error.code, error.message).toBe(code)
    return error
  }
  throw new Error(`expected ${code}, nothing was thrown`)
}

/** A registry with given ids that counts what it is asked, and can be taken down. */
export function stubRegistry(schemas: Record<number, unknown>): SchemaRegistry & { asked: number[]; down: boolean } {
  const registry = {
    name: 'stub',
    asked: [] as number[],
    down: false,
    byId: async (id: SchemaId): Promise<RegisteredSchema> => {
      registry.asked.push(id as number)
      await Promise.resolve()
      if (registry.down) throw new StreamError('connection', 'the stub is down', { retryable: true })
      if (schemas[id as number] === undefined) throw new StreamError('bad-schema', `no ${id}`)
      return { id, type: 'AVRO', schema: JSON.stringify(schemas[id as number]) }
    },
    register: async (_subject: string, schema: Omit<RegisteredSchema, 'id'>): Promise<RegisteredSchema> => ({
      ...schema,
      id: 1
    }),
    latest: async (): Promise<undefined> => undefined,
    check: async (): Promise<readonly string[]> => []
  }
  return registry
}

/** A long as Avro writes it. */
export function varint(value: bigint | number): Buffer {
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
  const bytes: number[] = []
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  return Buffer.from([...bytes, Number(rest)])
}
