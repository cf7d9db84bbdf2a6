import { describe, expect, it } from 'vitest'
import { fromUrl, kafka, type KafkaOptions, kafkaOptions } from '../../../src/adapters/kafka/index.ts'
import { readOptions } from '../../../src/core/options.ts'
import { StreamError } from '../../../src/core/errors.ts'

function message(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    expect(StreamError.is(error) && error.code).toBe('bad-config')
    return (error as Error).message
  }
  throw new Error('it was accepted')
}

describe('a kafka URL', () => {
  it('names several brokers, and options of every kind', () => {
    expect(
      fromUrl(
        'kafka://one:9092,two:19093?clientId=orders&ssl=true&acks=leader&requestTimeout=5000&sasl.mechanism=plain&sasl.username=me'
      )
    ).toEqual({
      brokers: ['one:9092', 'two:19093'],
      clientId: 'orders',
      ssl: true,
      acks: 'leader',
      requestTimeout: 5000,
      sasl: { mechanism: 'plain', username: 'me' }
    })
  })

  it('may be a URL object, without ports and with a slash', () => {
    expect(fromUrl(new URL('kafka://one,two'))).toEqual({ brokers: ['one:9092', 'two:9092'] })
    expect(fromUrl(new URL('kafka://one:9192/?clientId=x'))).toEqual({ brokers: ['one:9192'], clientId: 'x' })
  })

  it.each(['password=hunter2', 'sasl.password=hunter2', 'sasl.mechanism=plain&sasl.password=hunter2'])(
    'must not hold a secret: %s',
    query => {
      const said = message(() => fromUrl(`kafka://one:9092?${query}`))
      expect(said).toContain('secret')
      expect(said).toContain("option 'sasl.password'")
      expect(said).toContain('TIDEMARK_BROKERS__DEFAULT__SASL__PASSWORD')
      expect(said).not.toContain('hunter2')
    }
  )

  it('must not hold a user with a password', () => {
    const said = message(() => fromUrl('kafka://me:hunter2@one:9092'))
    expect(said).toContain('TIDEMARK_BROKERS__DEFAULT__SASL__PASSWORD')
    expect(said).not.toContain('hunter2')
  })

  it.each([
    ['kafka://one?colour=red', "unknown parameter 'colour'"],
    ['kafka://one?brokers=two', "unknown parameter 'brokers'"],
    ['kafka://one?sasl=plain', "unknown parameter 'sasl'"],
    ['kafka://one?sasl.colour=red', "unknown parameter 'sasl.colour'"],
    ['kafka://one?requestTimeout=soon', 'must be a number'],
    ['kafka://one?compression=best', 'must be one of'],
    ['kafka://one/topic', 'kafka://host:port'],
    ['redis://one', 'kafka://host:port']
  ])('is refused with a reason: %s', (url, reason) => {
    expect(message(() => fromUrl(url))).toContain(reason)
  })
})

describe('the options', () => {
  it('come from the environment too, nested ones included', () => {
    const variables = {
      B__BROKERS: 'one:9092, two:9092',
      B__SASL__MECHANISM: 'plain',
      B__SASL__USERNAME: 'me',
      B__SASL__PASSWORD: 'hunter2',
      B__SSL: 'true',
      B__REQUEST_TIMEOUT: '7000'
    }
    const options = readOptions('broker', kafkaOptions, {}, variables, 'B') as unknown as KafkaOptions
    expect(options).toMatchObject({ brokers: ['one:9092', 'two:9092'], requestTimeout: 7000 })
    expect(kafka(options).location).toBe('kafka://one:9092,two:9092')
  })

  it.each([
    [{}, "'brokers' is missing"],
    [{ brokers: ['one'] }, 'not host:port'],
    [{ brokers: ['me:secret@one:9092'] }, 'not host:port'],
    [{ brokers: ['one:9092'], requestTimeout: 0 }, "'requestTimeout' must be a whole number above 0"],
    [{ brokers: ['one:9092'], ssl: 'on' }, "'ssl' must be true"],
    [{ brokers: ['one:9092'], colour: 'red' }, "unknown option 'colour'"],
    [{ brokers: ['one:9092'], acks: 'some' }, 'must be one of'],
    [{ brokers: ['one:9092'], sasl: { mechanism: 'plain', username: 'me' } }, "'sasl.password'"],
    [{ brokers: ['one:9092'], sasl: { mechanism: 'oauthbearer' } }, 'oauthBearerProvider'],
    [{ brokers: ['one:9092'], sasl: { username: 'me', password: 'x' } }, "'sasl.mechanism' is missing"]
  ])('are checked: %o', (options, reason) => {
    const said = message(() => kafka(options as unknown as KafkaOptions))
    expect(said).toContain(reason)
    expect(said).not.toContain('secret@')
  })

  it('never show a secret in the location', () => {
    const adapter = kafka({
      brokers: ['one:9092'],
      sasl: { mechanism: 'plain', username: 'me', password: 'hunter2' }
    })
    expect(adapter.location).toBe('kafka://one:9092')
  })

  it('each have a sentence for the docs', () => {
    for (const { doc, inside } of Object.values(kafkaOptions)) {
      expect(doc.length).toBeGreaterThan(8)
      for (const option of Object.values(inside ?? {})) expect(option.doc.length).toBeGreaterThan(5)
    }
  })
})
