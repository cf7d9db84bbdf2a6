import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { messageOf, StreamError } from '../../src/core/errors.ts'
import { parseText, readOptions, upperSnake, type OptionTable } from '../../src/core/options.ts'

const table: OptionTable = {
  brokers: { kind: 'strings', doc: '' },
  clientId: { kind: 'string', doc: '' },
  timeout: { kind: 'number', doc: '' },
  secure: { kind: 'boolean', doc: '' },
  mode: { kind: 'string', doc: '', values: ['fast', 'safe'] },
  pin: { kind: 'string', doc: '', secret: true, values: ['0000'] },
  sasl: {
    kind: 'object',
    doc: '',
    inside: {
      user: { kind: 'string', doc: '' },
      password: { kind: 'string', doc: '', secret: true },
      port: { kind: 'number', doc: '', secret: true }
    }
  },
  extra: { kind: 'object', doc: '' }
}
const read = (given: object, variables = {}): Record<string, unknown> =>
  readOptions("broker 'b'", table, given, variables, 'T__B')
const failure = (call: () => unknown): StreamError => {
  try {
    call()
  } catch (error) {
    if (StreamError.is(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('options', () => {
  it('passes what fits, and drops what is undefined', () => {
    const given = {
      brokers: ['a', 'b'],
      clientId: 'me',
      timeout: 5,
      secure: false,
      mode: 'fast',
      sasl: { user: 'u', password: 'p' },
      extra: { any: 1 }
    }
    expect(read({ ...given, secure: undefined })).toEqual({ ...given, secure: undefined, ...{} })
  })

  it.each(['clientID', 'constructor', 'toString', '__proto__'])(
    'refuses the unknown option %s and names the known ones',
    name => {
      const given = Object.defineProperty({}, name, { value: 'x', enumerable: true })
      const error = failure(() => read(given))
      expect(error.code).toBe('bad-config')
      expect(error.message).toContain(`broker 'b': unknown option '${name}'; known are brokers, clientId`)
    }
  )

  it('refuses unknown options inside, and says where', () => {
    expect(failure(() => read({ sasl: { pasword: 'x' } })).message).toContain(
      "broker 'b'.sasl: unknown option 'pasword'; known are user, password"
    )
  })

  it.each([
    [{ timeout: '5' }, `option 'timeout' must be a number, got "5"`],
    [{ timeout: Number.NaN }, "option 'timeout' must be a number"],
    [{ clientId: null }, "option 'clientId' must be a string, got null"],
    [{ brokers: 'a,b' }, `option 'brokers' must be a list of strings, got "a,b"`],
    [{ brokers: ['a', 1] }, "option 'brokers' must be a list of strings"],
    [{ mode: 'quick' }, "option 'mode' must be one of fast, safe, got 'quick'"],
    [{ sasl: 'x' }, "option 'sasl' must be an object"],
    [{ sasl: [] }, "option 'sasl' must be an object"],
    [{ timeout: 5n }, "option 'timeout' must be a number"]
  ])('refuses %o', (given, message) => {
    expect(failure(() => read(given))).toMatchObject({ code: 'bad-config', message: expect.stringContaining(message) })
  })

  it('lays the environment over what is given, inner options included', () => {
    const variables = {
      T__B__CLIENT_ID: 'theirs',
      T__B__SASL__PASSWORD: 'hush',
      T__B__SECURE: '1',
      T__B__BROKERS: 'x:1, y:2,',
      T__B__TIMEOUT: '250'
    }
    expect(read({ clientId: 'ours', sasl: { user: 'u' } }, variables)).toEqual({
      clientId: 'theirs',
      sasl: { user: 'u', password: 'hush' },
      secure: true,
      brokers: ['x:1', 'y:2'],
      timeout: 250
    })
  })

  it('leaves out an object of which nothing is said', () => {
    expect(read({})).toEqual({})
    expect(read({ sasl: {} })).toEqual({ sasl: {} })
  })

  it('never says a secret', () => {
    const secret = 'tr0ub4dor&3'
    const attempts: [object, Record<string, string>][] = [
      [{ sasl: { password: { secret } } }, {}],
      [{ sasl: { password: 5, user: secret.length } }, {}],
      [{ pin: secret }, {}],
      [{}, { T__B__SASL__PORT: secret }],
      [{ sasl: { port: secret } }, {}]
    ]
    for (const [given, variables] of attempts) {
      const { message } = failure(() => read(given, variables))
      expect(message).not.toContain(secret)
      expect(message).toMatch(/password|pin|port|PORT|user/)
    }
  })

  it('throws nothing but bad-config, whatever it is given', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...Object.keys(table), 'other'), fc.anything()), given => {
        try {
          read(given)
        } catch (error) {
          expect(StreamError.is(error) && error.code, messageOf(error)).toBe('bad-config')
        }
      }),
      { numRuns: 500 }
    )
  })
})

describe('the text form', () => {
  it.each(['', ' ', 'x', '1x'])('of a number is not %j', given => {
    expect(() => parseText('here', { kind: 'number', doc: '' }, given)).toThrow('here must be a number')
  })

  it('of a boolean is true, false, 1 or 0', () => {
    expect(['true', '1', 'false', '0'].map(given => parseText('here', { kind: 'boolean', doc: '' }, given))).toEqual([
      true,
      true,
      false,
      false
    ])
    expect(() => parseText('here', { kind: 'boolean', doc: '' }, 'yes')).toThrow('here must be a boolean')
  })

  it.each([
    ['clientId', 'CLIENT_ID'],
    ['order-totals', 'ORDER_TOTALS'],
    ['maxBufferedBytes', 'MAX_BUFFERED_BYTES'],
    ['a.b', 'A_B']
  ])('of the name %s is %s', (name, expected) => expect(upperSnake(name)).toBe(expected))
})
