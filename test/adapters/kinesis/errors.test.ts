import { afterEach, describe, expect, it } from 'vitest'
import { classify } from '../../../src/adapters/kinesis/errors.ts'
import type { AnyAdapter } from '../../../src/spec/index.ts'
import { createTopic, record } from '../../support/records.ts'
import { injectFaults, notRun, open, running, serviceError } from './server.ts'

describe('errors of Kinesis', () => {
  const known: readonly (readonly [name: string, status: number, code: string, retryable: boolean])[] = [
    ['ResourceNotFoundException', 400, 'unknown-topic', false],
    ['ResourceInUseException', 400, 'connection', true],
    ['ProvisionedThroughputExceededException', 400, 'throttled', true],
    ['LimitExceededException', 400, 'throttled', true],
    ['KMSThrottlingException', 400, 'throttled', true],
    ['ThrottlingException', 400, 'throttled', true],
    ['AccessDeniedException', 400, 'unauthorized', false],
    ['UnrecognizedClientException', 400, 'unauthorized', false],
    ['InvalidSignatureException', 403, 'unauthorized', false],
    ['ExpiredTokenException', 400, 'unauthorized', false],
    ['CredentialsProviderError', 0, 'unauthorized', false],
    ['KMSAccessDeniedException', 400, 'unauthorized', false],
    ['InvalidArgumentException', 400, 'bad-config', false],
    ['InternalFailure', 500, 'connection', true],
    ['ServiceUnavailable', 503, 'connection', true],
    ['TimeoutError', 0, 'timeout', true],
    ['AbortError', 0, 'aborted', false],
    ['SomethingNew', 400, 'internal', false],
    ['SomethingNew', 500, 'connection', true],
    ['SomethingNew', 429, 'throttled', true],
    ['SomethingNew', 413, 'too-large', false]
  ]
  it.each(known)('%s with status %i is %s', (name, status, code, retryable) => {
    expect(classify(serviceError(name, 'message', status))).toEqual({ code, retryable })
  })

  it('that speak of a size are too-large', () => {
    const message =
      "1 validation error detected: Value at 'data' failed to satisfy constraint: Member must have length less than or equal to 1048576"
    expect(classify(serviceError('ValidationException', message))).toEqual({ code: 'too-large', retryable: false })
  })

  it('of sockets, as such and as causes', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    expect(classify(refused)).toEqual({ code: 'connection', retryable: true })
    expect(classify(new Error('outer', { cause: refused }))).toEqual({ code: 'connection', retryable: true })
    expect(classify(new AggregateError([refused]))).toEqual({ code: 'connection', retryable: true })
    const certificate = Object.assign(new Error('self signed'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    expect(classify(certificate)).toEqual({ code: 'unauthorized', retryable: false })
  })
})

describe.runIf(running)('a request that AWS refuses', () => {
  let adapter: AnyAdapter
  afterEach(() => adapter.close())

  const refusals = [
    ['AccessDeniedException', 'unauthorized', /not authorized.*docs\/adapters\/kinesis\.md/],
    ['ExpiredTokenException', 'unauthorized', /not authorized.*provider that renews/],
    ['ProvisionedThroughputExceededException', 'throttled', /not authorized/]
  ] as const
  it.each(refusals)('with %s fails with %s, wherever it is met', async (name, code, message) => {
    adapter = await open()
    const topic = await createTopic(adapter)
    injectFaults(adapter, () => serviceError(name, 'User: arn:aws:iam::1:user/x is not authorized'))
    const calls: (() => Promise<unknown>)[] = [
      () => adapter.admin().listTopics(),
      () => adapter.admin().describeTopic(topic),
      () => adapter.admin().createTopic({ topic: 'other', partitions: 1 }),
      () => adapter.admin().deleteTopic(topic),
      () => adapter.partitionReader!({ topic, partition: 0, from: 'latest', readCommitted: true, maxBytes: 1000 }),
      async () => {
        const [result] = await (await adapter.producer()).send([record(topic, 0, 'x')])
        throw result!.ok ? new Error('it was written') : result!.error
      }
    ]
    for (const call of calls) {
      const error = await call().then(
        () => undefined,
        (thrown: unknown) => thrown
      )
      expect(adapter.classify(error).code).toBe(code)
      expect(String((error as Error).message)).toMatch(message)
    }
  })

  it('in the middle of reading is told by receive, when no waiting helps', async () => {
    adapter = await open({ pollInterval: 20 })
    const topic = await createTopic(adapter)
    const reader = await adapter.partitionReader!({
      topic,
      partition: 0,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1000
    })
    await reader.receive({ wait: 100 })
    injectFaults(adapter, name => (name === 'GetRecords' ? serviceError('ExpiredTokenException') : undefined))
    const reading = (async () => {
      for (;;) await reader.receive({ wait: 200 })
    })()
    await expect(reading).rejects.toMatchObject({ code: 'unauthorized', retryable: false })
  })

  it('by taking too long is a timeout that may be retried', async () => {
    adapter = await open({ requestTimeout: 100 })
    injectFaults(adapter, () => new Promise<undefined>(() => {}))
    await expect(adapter.admin().listTopics()).rejects.toMatchObject({ code: 'timeout', retryable: true })
  })
})

it.skipIf(running)(`a request that AWS refuses${notRun}`, () => {})
