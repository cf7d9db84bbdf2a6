import { StreamError } from './errors.ts'

/** Everything that is wrong with a configuration, so that it is told at once and not one mistake at a time. */
export class Problems {
  readonly #where: string
  readonly #path: string
  readonly #found: string[] = []

  /**
   * @param where what is configured: `connect`, `run`
   * @param path which part of it, for problems that do not say so themselves
   */
  constructor(where: string, path: string = '') {
    this.#where = where
    this.#path = path
  }

  /** @param problem a sentence with the path, what is wrong there, and what to do */
  add(problem: string): void {
    this.#found.push(problem)
  }

  /** The result of the call, `undefined` when it finds something wrong with the configuration; other errors go through. */
  collect<Result>(call: () => Result): Result | undefined {
    try {
      return call()
    } catch (error) {
      this.take(error)
      return undefined
    }
  }

  /** Throws what is no problem of the configuration. */
  take(error: unknown): void {
    if (!StreamError.is(error) || error.code !== 'bad-config') throw error
    for (const problem of error.problems ?? [error.message])
      this.#found.push(problem.startsWith(this.#path) ? problem : `${this.#path}: ${problem}`)
  }

  /** Throws `bad-config` with all of them. */
  assertNone(): void {
    const [first, ...others] = this.#found
    if (first === undefined) return
    if (others.length === 0) throw new StreamError('bad-config', first)
    const lines = this.#found.map(problem => `\n- ${problem}`).join('')
    throw new StreamError('bad-config', `${this.#where}: ${this.#found.length} things are wrong:${lines}`, {
      problems: this.#found
    })
  }
}

/** `; did you mean 'x'?` when one of the known names is near, else nothing. */
export function nearest(name: string, known: readonly string[]): string {
  let best: string | undefined
  let least = Math.min(3, Math.ceil(name.length / 2))
  for (const candidate of known) {
    const away = distance(name.toLowerCase(), candidate.toLowerCase())
    if (away < least) {
      least = away
      best = candidate
    }
  }
  return best === undefined ? '' : `; did you mean '${best}'?`
}

/** Levenshtein. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1)))
    row = next
  }
  return row[right.length]!
}
