import type { Measured } from './report.ts'

/** A part that was wanted and could not be measured, and why. */
export type Skip = (name: string, reason: string) => void

/** Figures that are taken together, mostly because they share a server. */
export interface Bench {
  /** Without the name of the bench, which comes before them: `produce` of `kafka` is `kafka produce`. */
  readonly figures: readonly string[]
  /** Why none of them can be taken here. */
  readonly reason?: () => Promise<string | undefined>
  /** @param quick small sizes and one run: to see that it works */
  run(wanted: (name: string) => boolean, quick: boolean, skip: Skip): Promise<readonly Measured[]>
}
