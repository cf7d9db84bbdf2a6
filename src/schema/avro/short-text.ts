/** Longer texts are made by the platform: its call costs as much as two dozen characters here. */
const longest = 24

/** The text of so many bytes from `at` on, `undefined` when one of them is not ASCII. */
export type TextOf = (bytes: Buffer, at: number) => string | undefined

let made: readonly TextOf[] | undefined

/**
 * By length. One call of `fromCharCode` with so many arguments is several times faster than a call out of JavaScript, and a
 * function for each length is how it gets them.
 */
export function shortTexts(): readonly TextOf[] {
  return (made ??= Array.from({ length: longest + 1 }, (_, size) => textOf(size)))
}

function textOf(size: number): TextOf {
  if (size === 0) return () => ''
  const names = Array.from({ length: size }, (_, index) => `byte${index}`)
  const loads = names.map((name, index) => `${name} = bytes[at + ${index}]`).join(', ')
  return new Function(
    'bytes',
    'at',
    `const ${loads}
    return (${names.join(' | ')}) < 0x80 ? String.fromCharCode(${names.join(', ')}) : undefined`
  ) as TextOf
}
