/** Where a command writes to and what it may read, so that it can be run inside a test. */
export interface Terminal {
  readonly out: (line: string) => void
  readonly error: (line: string) => void
  readonly variables: Readonly<Record<string, string | undefined>>
}

/** 0: done. 1: the answer is no. 2: asked wrongly. 3: it could not be found out. */
export type ExitCode = 0 | 1 | 2 | 3

/** A wrong call: the message says what is wrong, and the usage is shown behind it. */
export class UsageError extends Error {}
