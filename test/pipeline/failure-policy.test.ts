import { describe, expect, it } from 'vitest'
import {
  FatalError,
  pipeline,
  PoisonError,
  processor,
  RetryableError,
  StreamError,
  text,
  topic
} from '../../src/index.ts'
import { policyOf, type FailurePolicy } from '../../src/pipeline/failure-policy.ts'

class QuotaError extends Error {}
class BigQuotaError extends QuotaError {}
const coded = (code: unknown, options?: ErrorOptions): Error => Object.assign(new Error('failed', options), { code })

describe('the kind of a failure', () => {
  const lists: FailurePolicy = {
    poison: [QuotaError, 'EBADMSG'],
    fatal: ['28P01'],
    retryable: [TypeError, 'bad-record']
  }
  const cases: [string, FailurePolicy, unknown, string][] = [
    ['is retryable where nothing is known of it', {}, new Error('no'), 'retryable'],
    ['is retryable of what is no error at all', {}, 'thrown text', 'retryable'],
    ['is poison where bytes do not decode', {}, new StreamError('bad-record', 'no'), 'poison'],
    ['is what a class in a list says', lists, new QuotaError(), 'poison'],
    ['is what a base class in a list says', lists, new BigQuotaError(), 'poison'],
    ['is what a code in a list says', lists, coded('EBADMSG'), 'poison'],
    ['is what the code of a driver says, which may be a number', { fatal: ['1045'] }, coded(1045), 'fatal'],
    ['is that of a cause', lists, new Error('query failed', { cause: coded('28P01') }), 'fatal'],
    ['is what a list says above what we would say', lists, new StreamError('bad-record', 'no'), 'retryable'],
    ['is what classify says above the lists', { ...lists, classify: () => 'fatal' }, new QuotaError(), 'fatal'],
    ['is left to the lists by classify', { ...lists, classify: () => undefined }, new QuotaError(), 'poison'],
    ['is the own word above all', { ...lists, classify: () => 'fatal' }, new RetryableError('later'), 'retryable'],
    ['is the own word in a cause', {}, new Error('wrapped', { cause: new PoisonError('never') }), 'poison'],
    ['is fatal by its own word', {}, new FatalError('no key'), 'fatal']
  ]
  it.each(cases)('%s', (_, policy, error, kind) => {
    expect(policyOf(policy).kindOf(error)).toBe(kind)
  })

  it('is found in a ring of causes', () => {
    const error = new Error('ring')
    error.cause = error
    expect(policyOf({ fatal: ['none'] }).kindOf(error)).toBe('retryable')
  })
})

describe('a policy that cannot be', () => {
  const words = topic('words', { key: text, value: text })
  const wrong: [object, string][] = [
    [{ retries: -1 }, 'failure.retries must be a whole number, 0 or more, got -1'],
    [{ retries: 1.5 }, 'failure.retries must be a whole number'],
    [{ backoff: { first: 0, most: 5 } }, 'failure.backoff must be milliseconds with 0 < first <= most, got 0 to 5'],
    [{ backoff: { first: 10, most: 5 } }, 'got 10 to 5'],
    [{ then: 'drop' }, "failure.then must be 'park' or 'stop', got drop"],
    [{ order: 'none' }, "failure.order must be 'key' or 'partition', got none"],
    [{ poison: [/regex/] }, 'failure.poison lists error classes and codes, got object']
  ]
  it.each(wrong)('%j is refused where it is written', (failure, message) => {
    const define = (): unknown =>
      pipeline('app', [processor({ name: 'work', from: words, failure, process: () => {} })])
    expect(define).toThrow(message)
    expect(define).toThrow("stage 'work'")
  })
})
