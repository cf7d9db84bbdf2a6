import { describe, expect, it } from 'vitest'
import { cutTo, redacted } from '../../src/core/redact.ts'

describe('redacted', () => {
  const secrets: [string, string][] = [
    ['connect postgres://app:hunter2@db:5432/orders failed', 'connect postgres://***@db:5432/orders failed'],
    ['https://token@host/path', 'https://***@host/path'],
    ['password=hunter2 user=app', 'password=*** user=app'],
    ['db_password: "hunter2", host: "db"', 'db_password: ***, host: "db"'],
    ['password="hunter2 cut off', 'password=***'],
    ['{"accessToken":"hunter2","n":1}', '{"accessToken":***,"n":1}'],
    ['Endpoint=sb://x/;SharedAccessKey=hunter2;Entity=y', 'Endpoint=sb://x/;SharedAccessKey=***;Entity=y'],
    ['Authorization: Bearer abcdefgh.ijkl', 'Authorization: ***'],
    ['sent Basic aHVudGVyMjpodW50ZXI=', 'sent Basic ***'],
    ['jwt eyJhbGciOi.eyJzdWIi.c2ln of nobody', 'jwt *** of nobody'],
    ['AKIAIOSFODNN7EXAMPLE is unknown', '*** is unknown'],
    ['-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- end', '*** end'],
    ['https://host/path?sig=hunter2&x=1', 'https://host/path?sig=***&x=1']
  ]
  it.each(secrets)('%s', (text, clean) => {
    expect(redacted(text)).toBe(clean)
  })

  it.each(['order 7 was not stored', 'a token is missing', 'see http://host/path', 'key k1: value must be above 0'])(
    'leaves "%s" as it is',
    text => {
      expect(redacted(text)).toBe(text)
    }
  )

  it('takes no longer for texts that are made to be slow', () => {
    for (const text of [
      'x'.repeat(1e6),
      'a.-'.repeat(3e5),
      '://'.repeat(3e5),
      'password'.repeat(1e5),
      'eyJ-'.repeat(2e5)
    ])
      expect(redacted(text).length).toBeLessThanOrEqual(4_096)
  })
})

describe('cutTo', () => {
  it('cuts between characters', () => {
    expect(cutTo('abc', 10)).toBe('abc')
    expect(cutTo('ääää', 5)).toBe('ää')
    expect(cutTo('a😀b', 4)).toBe('a')
    expect(Buffer.byteLength(cutTo('😀'.repeat(1_000), 1_024))).toBe(1_024)
  })
})
