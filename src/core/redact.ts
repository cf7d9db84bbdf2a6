/** What stands for a secret in texts. */
const hidden = '***'

// Each is linear in the text: none begins with a repetition.
const patterns: readonly (readonly [RegExp, string])[] = [
  // user:password@ in a URL
  [/(:\/\/)[^\s/?#@]{1,512}@/g, `$1${hidden}@`],
  // password=..., "token": "...", api-key: ..., and SharedAccessKey=...;
  [
    /((?:password|passwd|passphrase|secret|token|credential|authorization|api[-_]?key|access[-_]?key|accountkey|signature|\bsig|\bpwd)["']?\s*[=:]\s*)(?:(?:bearer|basic)\s+)?(?:"[^"]*(?:"|$)|'[^']*(?:'|$)|[^\s,;&"'})\]]+)/gi,
    `$1${hidden}`
  ],
  [/\b(bearer|basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${hidden}`],
  // JSON Web Tokens, and ids of AWS keys
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, hidden],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, hidden],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, hidden]
]

/** What is beyond would not be stored anyway. */
const longest = 4_096

/**
 * A text of somebody else (the message of an error) without what looks like a secret, so that it may be stored: passwords in
 * URLs, values of fields with telling names, tokens, private keys. What has no such mark cannot be known for a secret.
 */
export function redacted(text: string): string {
  let clean = text.length > longest ? text.slice(0, longest) : text
  for (const [pattern, replacement] of patterns) clean = clean.replace(pattern, replacement)
  return clean
}

/** Shorter ones are struck out only where they stand alone: `1` is part of many a text that tells nothing. */
const shortest = 4

/** A text without these secrets, wherever it shows them. */
export function without(text: string, secrets: readonly string[]): string {
  let clean = text.length > longest ? text.slice(0, longest) : text
  // A longer one may hold a shorter one.
  for (const secret of secrets.toSorted((left, right) => right.length - left.length)) {
    if (secret.length >= shortest) clean = clean.replaceAll(secret, hidden)
    else if (secret !== '') clean = clean.replace(new RegExp(`(?<![\\w.])${escaped(secret)}(?![\\w.])`, 'g'), hidden)
  }
  return clean
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}

/** The longest beginning of a text that is no longer than `most` bytes in UTF-8. */
export function cutTo(text: string, most: number): string {
  if (text.length * 3 <= most) return text
  const bytes = Buffer.from(text, 'utf8')
  if (bytes.length <= most) return text
  let end = most
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end-- // not inside a character
  return bytes.toString('utf8', 0, end)
}
