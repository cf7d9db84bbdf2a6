import { StreamError } from './errors.ts'
import { nearest, Problems } from './problems.ts'

/** One option: its kind, and what it means (docs are generated from this). */
export interface OptionSpec {
  readonly kind: 'string' | 'number' | 'boolean' | 'strings' | 'object' | 'any'
  readonly doc: string
  readonly secret?: boolean
  readonly values?: readonly string[]
  /** For `object`: the options inside; absent means it is passed through as it is. */
  readonly inside?: OptionTable
}

export type OptionTable = Readonly<Record<string, OptionSpec>>

/** Reads options from the environment of the process: `prefix` + `__` + name in upper snake case. */
export type Variables = Readonly<Record<string, string | undefined>>

/**
 * Checks options against their table, unknown keys included, after laying what the environment says over them: option
 * `sasl.password` of the broker `default` is `TIDEMARK_BROKERS__DEFAULT__SASL__PASSWORD`. Throws `bad-config` naming every
 * option that is wrong, never its value when it is secret.
 */
export function readOptions(
  where: string,
  table: OptionTable,
  given: object,
  variables: Variables = {},
  prefix = ''
): Record<string, unknown> {
  const problems = new Problems(where)
  const result = collectOptions(where, table, given, variables, prefix, problems)
  problems.assertNone()
  return result
}

function collectOptions(
  where: string,
  table: OptionTable,
  given: object,
  variables: Variables,
  prefix: string,
  problems: Problems
): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    // An own name only: 'constructor' is no option.
    const known = Object.keys(table)
    if (!Object.hasOwn(table, name))
      problems.add(`${where}: unknown option '${name}'; known are ${known.join(', ')}${nearest(name, known)}`)
    else if (value !== undefined) result[name] = value
  }
  for (const [name, spec] of Object.entries(table)) {
    const variable = `${prefix}__${upperSnake(name)}`
    if (spec.inside) {
      const own = problems.collect(() => plain(where, name, result[name] ?? {})) ?? {}
      const inner = collectOptions(`${where}.${name}`, spec.inside, own, variables, variable, problems)
      if (Object.keys(inner).length > 0 || result[name] !== undefined) result[name] = inner
      continue
    }
    const fromVariable = prefix === '' ? undefined : variables[variable]
    problems.collect(() => {
      if (fromVariable !== undefined) result[name] = parseText(`${variable}`, spec, fromVariable)
      if (result[name] !== undefined) checkValue(`${where}: option '${name}'`, spec, result[name])
    })
  }
  return result
}

/** The text form (URL query, environment) of a value of this kind. */
export function parseText(where: string, spec: OptionSpec, textForm: string): unknown {
  switch (spec.kind) {
    case 'number': {
      const value = Number(textForm)
      if (textForm.trim() === '' || Number.isNaN(value)) throw wrong(where, spec, textForm)
      return value
    }
    case 'boolean':
      if (textForm === 'true' || textForm === '1') return true
      if (textForm === 'false' || textForm === '0') return false
      throw wrong(where, spec, textForm)
    case 'strings':
      return textForm
        .split(',')
        .map(part => part.trim())
        .filter(part => part !== '')
    default:
      return textForm
  }
}

function checkValue(where: string, spec: OptionSpec, value: unknown): void {
  const fits =
    spec.kind === 'any' ||
    (spec.kind === 'strings'
      ? Array.isArray(value) && value.every(item => typeof item === 'string')
      : typeof value === spec.kind && value !== null)
  if (!fits || (spec.kind === 'number' && Number.isNaN(value))) throw wrong(where, spec, value)
  if (spec.values && !spec.values.includes(value as string))
    throw new StreamError(
      'bad-config',
      `${where} must be one of ${spec.values.join(', ')}${spec.secret ? '' : `, got '${String(value)}'`}`
    )
}

function wrong(where: string, spec: OptionSpec, value: unknown): StreamError {
  const kind = spec.kind === 'strings' ? 'a list of strings' : `a ${spec.kind}`
  return new StreamError('bad-config', `${where} must be ${kind}${spec.secret ? '' : `, got ${shown(value)}`}`)
}

function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return `a ${typeof value}` // circular, or with a bigint inside
  }
}

function plain(where: string, name: string, value: unknown): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new StreamError('bad-config', `${where}: option '${name}' must be an object`)
}

/** `clientId` -> `CLIENT_ID`, `order-totals` -> `ORDER_TOTALS`. */
export function upperSnake(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[^A-Za-z0-9]+/g, '_')
    .toUpperCase()
}
