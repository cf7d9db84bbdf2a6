import { describe, expect, it } from 'vitest'
import { PostgresStore } from '../../src/exactly-once/index.ts'
import { translated } from '../../src/exactly-once/stores/postgres-errors.ts'
import { readPostgresOptions } from '../../src/exactly-once/stores/postgres-options.ts'
import { openStore } from '../../src/pipeline/index.ts'

const secret = 'pass/word#s3cret'
const url = `postgres://user:${encodeURIComponent(secret)}@db.example:6543/shop`

/** Everything that a log might show of an error. */
function shown(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return `${error.stack}${JSON.stringify(error)}${error.cause === undefined ? '' : shown(error.cause)}`
}

describe('options of a PostgreSQL store', () => {
  it('have defaults, and a place that tells no user and no password', () => {
    expect(readPostgresOptions({ url })).toEqual({
      ...{ schema: 'tidemark', migrate: true, connections: 4, statementTimeout: 10_000, connectTimeout: 10_000 },
      ...{ prepare: true, location: 'postgres://db.example:6543/shop', target: { connectionString: url } }
    })
    expect(readPostgresOptions({ url: 'postgresql:///shop?host=/run/pg' }).location).toBe(
      'postgres:///run/pg:5432/shop'
    )
    expect(readPostgresOptions({ url: 'postgres://h', schema: 'other' }).location).toBe(
      'postgres://h:5432/?schema=other'
    )
  })

  it('may stand in the URL beside those of pg, which are left there', () => {
    const read = readPostgresOptions({
      url: `${url}?sslmode=verify-full&schema=ours&migrate=false&connections=9&statementTimeout=0&connectTimeout=1&prepare=false`
    })
    expect(read).toMatchObject({ schema: 'ours', migrate: false, connections: 9, statementTimeout: 0, prepare: false })
    expect(read.target).toEqual({ connectionString: `${url}?sslmode=verify-full` })
  })

  it('of pg that no URL can say go over the URL', () => {
    const password = (): string => 'token'
    expect(readPostgresOptions({ url, connection: { password, ssl: { ca: 'CA' } } }).target).toEqual({
      ...{ host: 'db.example', port: 6543, user: 'user', database: 'shop', ssl: { ca: 'CA' }, password }
    })
    expect(readPostgresOptions({ url, connection: {} }).target).toMatchObject({ password: secret })
    expect(() => readPostgresOptions({ url: `${url}?sslmode=require`, connection: {} })).toThrow(
      /the URL may not have 'sslmode'/
    )
  })

  it.each([
    [`${url}?schemas=x`, /'schemas', which is none of schema, migrate/],
    [`${url}?connections=0`, /'connections' must be a whole number, 1 or more; got 0/],
    [`${url}?connections=many`, /'connections' must be a number/],
    [`${url}?migrate=perhaps`, /'migrate' must be a boolean/],
    [`${url}?schema=`, /'schema' must be a name/],
    ['postgres://user:a#b%@db.example/shop', /%23 and the like/],
    [`postgres://user:${secret}@db.example:x/shop`, /must be postgres:\/\/user:password@host/],
    ['postgres://user:12/s3cret@db.example/shop', /%23 and the like/],
    ['postgres://user:12?s3cret@db.example/shop', /%23 and the like/],
    ['postgres://user:12#s3cret@db.example/shop', /%23 and the like/],
    ['mysql://user:s3cret@db.example/shop', /must be postgres:\/\/user:password@host/]
  ])('that are wrong are errors without the password: %s', (given, message) => {
    let error: unknown
    try {
      readPostgresOptions({ url: given })
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code: 'bad-config', message: expect.stringMatching(message) })
    expect(shown(error)).not.toContain('s3cret')
  })

  it('given to connect as `store` are taken by their scheme, and no secret of a mistyped one is shown', async () => {
    await expect(openStore(`${url}?nothing=1`, new Map())).rejects.toThrow(/'nothing', which is none of/)
    const mistyped = openStore('postgre://user:s3cret@db.example/shop', new Map())
    await expect(mistyped).rejects.toThrow(/store 'postgre:\/\/…' is none: use 'postgres:\/\/<user>/)
    await expect(mistyped.catch(shown)).resolves.not.toContain('s3cret')
  })

  it('name a server that is not there, without the password', async () => {
    const opening = PostgresStore.open({ url: 'postgres://user:s3cret@127.0.0.1:1/shop', connectTimeout: 100 })
    const error = await opening.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'connection',
      retryable: true,
      message: expect.stringMatching(/^postgres:\/\/127\.0\.0\.1:1\/shop: preparing the schema: .*ECONNREFUSED/)
    })
    expect(shown(error)).not.toContain('s3cret')
  })
})

describe('errors of a PostgreSQL store', () => {
  const server = (code: string): Error => Object.assign(new Error('said so'), { severity: 'FEHLER', code })

  it.each([
    ['40001', 'timeout', true],
    ['40P01', 'timeout', true],
    ['57014', 'timeout', true],
    ['55P03', 'timeout', true],
    ['57P01', 'connection', true],
    ['57P03', 'connection', true],
    ['53100', 'connection', true],
    ['53300', 'connection', true],
    ['58030', 'connection', true],
    ['25006', 'connection', true],
    ['28P01', 'unauthorized', false],
    ['42501', 'unauthorized', false],
    ['3D000', 'bad-config', false],
    ['42P01', 'bad-config', false],
    ['26000', 'bad-config', false],
    ['XX001', 'corrupt', false],
    ['42601', 'internal', false]
  ])('have the code of what the server says: %s', (state, code, retryable) => {
    expect(translated(server(state), 'there', 'doing')).toMatchObject({
      code,
      retryable,
      message: expect.stringMatching(/^there: doing: said so/)
    })
  })

  it.each([
    [Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }), 'connection', true],
    [Object.assign(new Error('x'), { code: 'EAI_AGAIN' }), 'connection', true],
    [new Error('Connection terminated unexpectedly'), 'connection', true],
    [new Error('Query read timeout'), 'connection', true],
    [Object.assign(new Error('altname'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }), 'connection', false],
    [Object.assign(new Error('self-signed'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 'connection', false],
    [new Error('The server does not support SSL connections'), 'bad-config', false],
    [new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'), 'unauthorized', false],
    [new RangeError('Invalid string length'), 'internal', false]
  ])('of this side: %s', (error, code, retryable) => {
    expect(translated(error, 'there', 'doing')).toMatchObject({ code, retryable })
  })
})
