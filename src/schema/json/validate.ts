import { StreamError } from '../../core/errors.ts'
import type { StandardIssue, StandardSchema } from './standard-schema.ts'

/** Nesting that no schema of ours or of Avro goes beyond; far below what fills the stack. */
const depthLimit = 500

/**
 * Checks values with one validator. `bad-record` names the places that do not fit, never what stands there.
 *
 * @param shown the part of a path that may be named
 */
export function createCheck(validator: StandardSchema, shown: Shown): (value: unknown) => unknown {
  const { vendor } = validator['~standard']
  // Some validators answer every failure of their own, a full stack too, with a promise. One that has answered at once
  // before is no asynchronous one: then it is the value.
  let synchronous = false
  return value => {
    let result: ReturnType<StandardSchema['~standard']['validate']>
    try {
      result = validator['~standard'].validate(value)
    } catch (error) {
      throw new StreamError('bad-record', `the ${vendor} schema failed on the value: ${nameOf(error)}`, {
        cause: error
      })
    }
    if (isPromise(result)) {
      // Nobody waits for it: its failure must not end the process.
      result.then(undefined, () => {})
      if (isDeep(value)) throw new StreamError('bad-record', `the value is nested deeper than ${depthLimit}`)
      if (synchronous) throw new StreamError('bad-record', `the ${vendor} schema failed on the value`)
      throw new StreamError(
        'bad-config',
        `json(validator): the ${vendor} schema validates asynchronously, or a check in it throws; a codec is synchronous, ` +
          'do asynchronous checks in the handler'
      )
    }
    if (result.issues)
      throw new StreamError(
        'bad-record',
        `the value does not fit its schema: ${describeIssues(result.issues, value, shown)}`
      )
    synchronous = true
    return result.value
  }
}

function isPromise<Value>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof (value as { then?: unknown }).then === 'function'
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}

/** Level by level: to go into the depth is what has just failed. */
function isDeep(value: unknown): boolean {
  let level = [value]
  for (let depth = 0; depth <= depthLimit; depth++) {
    level = level.flatMap(item => (typeof item === 'object' && item !== null ? Object.values(item as object) : []))
    if (level.length === 0) return false
  }
  return true
}

/** Issues beyond these are counted, not listed. */
const listed = 3

type Shown = (path: readonly string[]) => readonly string[]

function describeIssues(issues: readonly StandardIssue[], value: unknown, shown: Shown): string {
  const sentences = issues.slice(0, listed).map(issue => describeIssue(issue, value, shown))
  const more = issues.length > listed ? ` and ${issues.length - listed} more` : ''
  return (sentences.join('; ') || 'no reason given') + more
}

/**
 * The message of an issue may quote the value, and with some validators does; what is shown here comes from the schema
 * (`expected`, or the name of the rule), and the kind of the value.
 */
function describeIssue(issue: StandardIssue, value: unknown, shown: Shown): string {
  const path = (issue.path ?? []).map(step => (typeof step === 'object' ? step.key : step))
  const { expected, code, type } = issue as { expected?: unknown; code?: unknown; type?: unknown }
  const rule = [expected && `expected ${text(expected)}`, code, type].find(part => typeof part === 'string')
  const named = path.slice(0, shown(path.map(String)).length)
  return `${pathText(named)}${rule ? `: ${rule}` : ''}, got ${kindAt(value, path)}`
}

function text(expected: unknown): string {
  return typeof expected === 'string' ? expected : 'something else'
}

function pathText(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the whole value'
  return `'${path.map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`)).join('')}'`
}

function kindAt(value: unknown, path: readonly PropertyKey[]): string {
  let current = value
  for (const step of path) {
    if (typeof current !== 'object' || current === null) return 'nothing'
    current = (current as Record<PropertyKey, unknown>)[step]
  }
  if (current === undefined) return 'nothing'
  if (current === null) return 'null'
  return Array.isArray(current) ? 'array' : typeof current
}
