import { StreamError } from '../../core/errors.ts'
import type { StandardIssue, StandardSchema } from './standard-schema.ts'

/** The value as the validator gives it. Throws `bad-record` that names the places, never what stands there. */
export function validate(validator: StandardSchema, value: unknown): unknown {
  const result = validator['~standard'].validate(value)
  if (result instanceof Promise || typeof (result as { then?: unknown }).then === 'function') {
    // Nobody waits for it: its failure must not end the process.
    ;(result as Promise<unknown>).then(undefined, () => {})
    throw new StreamError(
      'bad-config',
      `json(validator): the ${validator['~standard'].vendor} schema validates asynchronously; a codec is synchronous, ` +
        'take the asynchronous checks out of the schema and do them in the handler'
    )
  }
  const { issues } = result as { issues?: readonly StandardIssue[] }
  if (!issues) return (result as { value: unknown }).value
  throw new StreamError('bad-record', `the value does not fit its schema: ${describeIssues(issues, value)}`)
}

/** Issues beyond these are counted, not listed. */
const listed = 3

function describeIssues(issues: readonly StandardIssue[], value: unknown): string {
  const sentences = issues.slice(0, listed).map(issue => describeIssue(issue, value))
  const more = issues.length > listed ? ` and ${issues.length - listed} more` : ''
  return (sentences.join('; ') || 'no reason given') + more
}

/**
 * The message of an issue may quote the value, and with some validators does; what is shown here comes from the schema
 * (`expected`, or the name of the rule), and the kind of the value.
 */
function describeIssue(issue: StandardIssue, value: unknown): string {
  const path = (issue.path ?? []).map(step => (typeof step === 'object' ? step.key : step))
  const { expected, code, type } = issue as { expected?: unknown; code?: unknown; type?: unknown }
  const rule = [expected && `expected ${text(expected)}`, code, type].find(part => typeof part === 'string')
  return `${pathText(path)}${rule ? `: ${rule}` : ''}, got ${kindAt(value, path)}`
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
