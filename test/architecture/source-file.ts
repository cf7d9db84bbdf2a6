import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { mask } from './mask.ts'

export interface Import {
  /** As written: `node:fs`, `kafkajs`, `../core/errors.ts`; empty when it is computed. */
  readonly specifier: string
  /** The file below the root, when the import is a relative one: `src/core/errors.ts`. */
  readonly target: string | undefined
  /** Gone after compilation: `import type` and `export type`. (`import { type A }` stays, as an import of nothing.) */
  readonly typeOnly: boolean
  /** `import('...')`. */
  readonly dynamic: boolean
  readonly line: number
}

export interface SourceFile {
  /** Below the root, with `/`: `src/core/errors.ts`. */
  readonly path: string
  readonly lines: number
  /** The text without comments and without the inside of strings. */
  readonly code: string
  readonly imports: readonly Import[]
}

/** Reads every TypeScript file below `folder`. */
export function readSources(root: string, folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => parseSource(`${folder}/${name.split(sep).join('/')}`, readFileSync(join(root, folder, name), 'utf8')))
    .toSorted((left, right) => (left.path < right.path ? -1 : 1))
}

/** @param path below the root, with `/` */
export function parseSource(path: string, text: string): SourceFile {
  const code = mask(text)
  const imports: Import[] = []
  const add = (at: number, quoteAt: number, typeOnly: boolean, dynamic: boolean): void => {
    const specifier = quoteAt < 0 ? '' : text.slice(quoteAt + 1, text.indexOf(text[quoteAt]!, quoteAt + 1))
    const target = specifier.startsWith('.')
      ? normalize(join(dirname(path), specifier))
          .split(sep)
          .join('/')
      : undefined
    imports.push({ specifier, target, typeOnly, dynamic, line: code.slice(0, at).split('\n').length })
  }
  // The clause of a static import holds words, commas, stars and braces, and no quote before its own specifier.
  for (const found of code.matchAll(/\b(?:import|export)\s+(type\s+)?(?:[\w$\s,*]|\{[^}'"]*\})*?\bfrom\s*['"]/g))
    add(
      found.index,
      found.index + found[0].length - 1,
      found[1] !== undefined && !/^type\s+from\b/.test(found[1]),
      false
    )
  for (const found of code.matchAll(/\bimport\s*['"]/g))
    add(found.index, found.index + found[0].length - 1, false, false)
  for (const found of code.matchAll(/\bimport\s*\(\s*(['"])?/g))
    add(found.index, found[1] === undefined ? -1 : found.index + found[0].length - 1, false, true)
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  return { path, lines, code, imports }
}
