import { describe, expect, it } from 'vitest'
import { classify, explain, protocolCode, protocolError } from '../../../src/adapters/kafka/errors.ts'
import { StreamError } from '../../../src/core/errors.ts'

/** As kafkajs makes them. */
function vendor(name: string, more: object = {}): Error {
  return Object.assign(new Error('from kafkajs'), { name, ...more })
}

describe('what kafkajs throws', () => {
  it.each([
    [3, 'unknown-topic', false],
    [6, 'connection', true],
    [7, 'timeout', true],
    [10, 'too-large', false],
    [1, 'position-lost', false],
    [22, 'not-owner', false],
    [29, 'unauthorized', false],
    [36, 'topic-exists', false],
    [47, 'fenced', false],
    [58, 'unauthorized', false],
    [82, 'fenced', false],
    [87, 'bad-record', false],
    [89, 'throttled', true]
  ])('protocol code %i is %s', (code, expected, retryable) => {
    expect(classify(vendor('KafkaJSProtocolError', { code, type: 'X' }))).toEqual({ code: expected, retryable })
    expect(classify(protocolError(code, 'a test'))).toEqual({ code: expected, retryable })
  })

  it('is understood inside of what kafkajs wraps around it', () => {
    const inner = vendor('KafkaJSProtocolError', { code: 3, type: 'UNKNOWN_TOPIC_OR_PARTITION' })
    expect(classify(vendor('KafkaJSNumberOfRetriesExceeded', { cause: inner })).code).toBe('unknown-topic')
    expect(classify(vendor('KafkaJSAggregateError', { errors: [inner] })).code).toBe('unknown-topic')
  })

  it('is understood where kafkajs does not know the code itself', () => {
    const error = vendor('KafkaJSProtocolError', { code: -99, message: 'Unknown error code 90' })
    expect(protocolCode(error)).toBe(90)
    expect(classify(error)).toEqual({ code: 'fenced', retryable: false })
  })

  it.each([
    [vendor('KafkaJSConnectionError', { code: 'ECONNREFUSED' }), 'connection', true],
    [vendor('KafkaJSConnectionError', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 'unauthorized', false],
    [vendor('KafkaJSConnectionError', { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }), 'unauthorized', false],
    [vendor('KafkaJSConnectionClosedError'), 'connection', true],
    [vendor('KafkaJSRequestTimeoutError'), 'timeout', true],
    [vendor('KafkaJSSASLAuthenticationError'), 'unauthorized', false],
    [vendor('KafkaJSGroupCoordinatorNotFound'), 'connection', true],
    [Object.assign(new Error('socket'), { code: 'ECONNRESET' }), 'connection', true],
    [new RangeError('a bug'), 'internal', false],
    ['text', 'internal', false],
    [undefined, 'internal', false]
  ])('%o is %s', (error, code, retryable) => {
    expect(classify(error)).toEqual({ code, retryable })
  })

  it('becomes a StreamError that says what was tried and what to do, with its cause', () => {
    const cause = vendor('KafkaJSProtocolError', { code: 3, type: 'UNKNOWN_TOPIC_OR_PARTITION' })
    const error = explain(cause, "writing to 'orders'")
    expect(StreamError.is(error)).toBe(true)
    expect(error).toMatchObject({ code: 'unknown-topic', adapter: 'kafka', cause })
    expect(error.message).toContain("writing to 'orders'")
    expect(error.message).toContain('create it')
  })

  it('stays what it is when it is ours already', () => {
    const error = new StreamError('closed', 'over')
    expect(explain(error, 'anything')).toBe(error)
    expect(classify(error)).toEqual({ code: 'closed', retryable: false })
  })

  it('may hold itself as its cause', () => {
    const error = vendor('KafkaJSError')
    Object.assign(error, { cause: error })
    expect(classify(error).code).toBe('internal')
  })
})
