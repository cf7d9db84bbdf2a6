/** `'12.34'` from the two's complement bytes of the unscaled number. */
export function readDecimal(bytes: Uint8Array, scale: number): string {
  let unscaled = 0n
  for (const byte of bytes) unscaled = (unscaled << 8n) | BigInt(byte)
  if (bytes.length > 0) unscaled = BigInt.asIntN(8 * bytes.length, unscaled)
  const sign = unscaled < 0n ? '-' : ''
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  if (scale === 0) return sign + digits
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** The unscaled number of a decimal text, or nothing when the text is no decimal or does not fit without rounding. */
export function unscaledOf(text: string, precision: number, scale: number): bigint | undefined {
  // One digit more than the widest decimal is enough to know that it does not fit.
  const match = text.length > precision + scale + 1_000 ? null : /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (!match) return undefined
  const fraction = (match[3] ?? '').replace(/0+$/, '')
  if (fraction.length > scale) return undefined
  const unscaled = BigInt(match[2]! + fraction.padEnd(scale, '0'))
  if (unscaled >= 10n ** BigInt(precision)) return undefined
  return match[1] === '-' ? -unscaled : unscaled
}

/** Two's complement, big endian: as few bytes as it takes, or exactly `size`. */
export function writeDecimal(unscaled: bigint, size?: number): Buffer {
  let length = size ?? 1
  if (size === undefined) while (BigInt.asIntN(8 * length, unscaled) !== unscaled) length++
  const bytes = Buffer.allocUnsafe(length)
  let rest = BigInt.asUintN(8 * length, unscaled)
  for (let index = length - 1; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 0xffn)
  return bytes
}
