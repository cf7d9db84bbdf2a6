/**
 * The text of a TypeScript file with comments, regular expressions and the inside of strings blanked, every other
 * character at its place: what is left can be searched without being fooled by an example in a comment.
 */
export function mask(source: string): string {
  const out = source.split('')
  const blank = (from: number, to: number): void => {
    for (let index = from; index < to; index++) if (out[index] !== '\n') out[index] = ' '
  }
  /** Depth of braces at which each open `${` of a template ends. */
  const templates: number[] = []
  let depth = 0
  let at = 0

  const quoted = (quote: string): void => {
    const start = ++at
    while (at < source.length && source[at] !== quote) at += source[at] === '\\' ? 2 : 1
    blank(start, at++)
  }
  /** From behind a backtick or a closing brace of `${}` to the next backtick or `${`. */
  const template = (): void => {
    const start = at
    while (at < source.length && source[at] !== '`' && !source.startsWith('${', at)) at += source[at] === '\\' ? 2 : 1
    blank(start, at)
    if (source[at] === '`') at++
    else {
      at += 2
      templates.push(depth++)
    }
  }
  const regularExpression = (): void => {
    const start = ++at
    for (let inClass = false; at < source.length && (inClass || source[at] !== '/'); at++) {
      if (source[at] === '\\') at++
      else if (source[at] === '[') inClass = true
      else if (source[at] === ']') inClass = false
    }
    blank(start, at++)
  }

  while (at < source.length) {
    const character = source[at]!
    if (source.startsWith('//', at)) {
      const end = source.indexOf('\n', at)
      blank(at, (at = end < 0 ? source.length : end))
    } else if (source.startsWith('/*', at)) {
      const end = source.indexOf('*/', at + 2)
      blank(at, (at = end < 0 ? source.length : end + 2))
    } else if (character === "'" || character === '"') quoted(character)
    else if (character === '`') {
      at++
      template()
    } else if (character === '/' && startsExpression(source.slice(0, at))) regularExpression()
    else {
      if (character === '{') depth++
      if (character === '}' && templates.at(-1) === --depth) {
        templates.pop()
        at++
        template()
      } else at++
    }
  }
  return out.join('')
}

/** Can what follows be an operand (so that `/` opens a regular expression), or is it an operator? */
function startsExpression(before: string): boolean {
  const text = before.slice(-80).trimEnd()
  return (
    text === '' || /[(,=:[!&|?{};+\-*%~^<>]$/.test(text) || /\b(?:return|typeof|case|in|of|await|yield)$/.test(text)
  )
}
