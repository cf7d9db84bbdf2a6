import { StreamError, type ErrorCode } from '../../core/errors.ts'

/** The code of what the server itself has answered; `undefined` for everything that happens on this side. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { readonly code?: unknown; readonly severity?: unknown }
  return typeof severity === 'string' && typeof code === 'string' ? code : undefined
}

/** Is the connection of no use any more? */
export function breaks(error: unknown): boolean {
  const state = sqlState(error)
  return state === undefined || /^(08|28|57P0[1235]|XX|26|42P05)/.test(state)
}

/** Does the server object to rows, not to the moment? Syntax and names count, too: the rows name their columns. */
export function refusesRows(error: unknown): boolean {
  return /^(21|22|23|428C9|42703|42804|44|54|0A|P0)/.test(sqlState(error) ?? '')
}

/** What `pg` threw, in our words. Its message holds names at most, never a password. */
export function translated(error: unknown, location: string, doing: string): StreamError {
  if (StreamError.is(error)) return error
  const [code, retryable, hint = ''] = judged(error)
  const { message, code: vendorCode } = (error ?? {}) as { readonly message?: string; readonly code?: string }
  // Of several addresses that were tried in vain, the error says nothing itself.
  const said = message || vendorCode || String(error)
  return new StreamError(code, `${location}: ${doing}: ${said}${hint}`, { retryable, cause: error })
}

function judged(error: unknown): [code: ErrorCode, retryable: boolean, hint?: string] {
  const state = sqlState(error)
  if (state === undefined) return ours(error)
  // Serialization, deadlock; lock and statement timeouts: nothing has happened.
  if (/^(40|55P03|57014)/.test(state)) return ['timeout', true]
  // The connection, resources, an operator at work, I/O; a server that has become a standby meanwhile.
  if (/^(08|53|57|58|25006)/.test(state)) return ['connection', true]
  if (state.startsWith('28')) return ['unauthorized', false]
  if (state === '42501') return ['unauthorized', false, ' (docs/stores.md has the grants)']
  if (/^(3D|3F|42P01)/.test(state)) return ['bad-config', false]
  if (/^(26|42P05)/.test(state))
    return [
      'bad-config',
      false,
      ' (is there a pooler that gives each transaction another session? Then: prepare=false)'
    ]
  if (/^XX00[12]/.test(state)) return ['corrupt', false]
  return ['internal', false]
}

/** What happens on this side: nearly always the network. */
function ours(error: unknown): [code: ErrorCode, retryable: boolean] {
  const { code, message = '' } = (error ?? {}) as { readonly code?: string; readonly message?: string }
  if (typeof code === 'string' && /CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code)) return ['connection', false]
  if (/^(E[A-Z]+|EAI_[A-Z]+)$/.test(code ?? '')) return ['connection', true]
  if (/SASL|password must be/i.test(message)) return ['unauthorized', false]
  if (/does not support SSL/i.test(message)) return ['bad-config', false]
  if (/connection|timeout|timed out|terminated|not queryable|socket/i.test(message)) return ['connection', true]
  return ['internal', false]
}
