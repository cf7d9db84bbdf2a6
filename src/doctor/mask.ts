const secretName =
  /pass(?:word|wd|phrase)?$|secret|token|credential|signature|connectionstring|authorization|(?:^|access|private|api|shared)_?key$/i

/**
 * A function that takes every secret of a configuration out of a text, whoever has put it there: what servers and vendors'
 * clients say is not ours to vouch for.
 */
export function masker(...configurations: readonly unknown[]): (text: string) => string {
  const secrets = new Set<string>()
  const seen = new Set<unknown>()
  const note = (secret: string | undefined): void => {
    if (secret === undefined || secret.length < 4) return
    for (const form of [secret, encodeURIComponent(secret), decoded(secret)]) secrets.add(form)
  }
  const walk = (value: unknown, name: string): void => {
    if (typeof value === 'string') {
      if (secretName.test(name)) note(value)
      for (const part of secretsOfUrl(value)) note(part)
    } else if (typeof value === 'object' && value !== null && !seen.has(value) && isPlain(value)) {
      seen.add(value)
      for (const [key, inner] of Object.entries(value)) walk(inner, key)
    }
  }
  for (const each of configurations) walk(each, '')
  // The longest first: one may be part of another.
  const all = [...secrets].sort((left, right) => right.length - left.length)
  return text => all.reduce((masked, secret) => masked.replaceAll(secret, '…'), text)
}

/** Options, not instances: what an adapter holds inside is its own. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as unknown
  return prototype === Object.prototype || prototype === null || Array.isArray(value)
}

/** Password, parameters that are secrets, and the key of a connection string. */
function secretsOfUrl(text: string): string[] {
  const found: string[] = []
  // Up to the last @: a password may hold any of / @ ?
  const password = /^[a-z][a-z0-9+.-]*:\/\/[^:/?#]*:(.*)@/is.exec(text)?.[1]
  if (password !== undefined) found.push(password)
  for (const [, name, value] of text.matchAll(/[?&;]([A-Za-z]+)=([^&;]+)/g))
    if (secretName.test(name!)) found.push(value!)
  return found
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
