import { createHmac } from 'node:crypto'

export type Right = 'Manage' | 'Send' | 'Listen'

/** Shared access policies of the namespace. The first is the one of the official emulator. */
export const policies: Readonly<Record<string, { readonly key: string; readonly rights: readonly Right[] }>> = {
  RootManageSharedAccessKey: { key: 'SAS_KEY_VALUE', rights: ['Manage', 'Send', 'Listen'] },
  sender: { key: 'SENDER_KEY', rights: ['Send'] },
  listener: { key: 'LISTENER_KEY', rights: ['Listen'] }
}

export interface Grant {
  readonly rights: readonly Right[]
  /** Milliseconds since the epoch. */
  readonly expires: number
}

/** A token that is refused, in the words of the service. */
export class TokenError extends Error {}

/** What a token lets its bearer do. @throws TokenError */
export function readToken(type: string, token: string, audience: string): Grant {
  const grant = type.endsWith(':sastoken') ? readSas(token, audience) : readJwt(token)
  if (grant.expires <= Date.now()) throw new TokenError('ExpiredToken: The token is expired.')
  return grant
}

/** The path of the entity in `sb://host/hub/Partitions/0`. */
export function pathOf(audience: string): string {
  return (/^[a-z]+:\/\/[^/]*\/?(.*)$/i.exec(audience)?.[1] ?? audience).replace(/\/$/, '').toLowerCase()
}

function readSas(token: string, audience: string): Grant {
  const fields = new URLSearchParams(token.replace(/^SharedAccessSignature /, ''))
  const [resource, signature, expiry, name] = ['sr', 'sig', 'se', 'skn'].map(field => fields.get(field) ?? '') as [
    string,
    string,
    string,
    string
  ]
  const policy = Object.hasOwn(policies, name) ? policies[name]! : undefined
  // Clients escape the resource each in their own way; what they signed is what stands in the token.
  const raw = /(?:^|&| )sr=([^&]*)/.exec(token)?.[1] ?? ''
  const signed = [raw, resource, encodeURIComponent(resource)].some(
    text => policy && createHmac('sha256', policy.key).update(`${text}\n${expiry}`).digest('base64') === signature
  )
  if (!policy || !signed) throw new TokenError('InvalidSignature: The token has an invalid signature.')
  if (!pathOf(audience).startsWith(pathOf(resource)))
    throw new TokenError(`InvalidAudience: The token is for '${resource}', not for '${audience}'.`)
  return { rights: policy.rights, expires: Number(expiry) * 1_000 }
}

/** Tokens of an identity provider are not verified here: `{ exp, rights }`, all rights when none are named. */
function readJwt(token: string): Grant {
  try {
    const payload = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as {
      exp: number
      rights?: Right[]
    }
    return { rights: payload.rights ?? ['Manage', 'Send', 'Listen'], expires: payload.exp * 1_000 }
  } catch {
    throw new TokenError('InvalidToken: The token is malformed.')
  }
}
