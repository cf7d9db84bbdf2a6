import { inParallel } from '../in-parallel.ts'
import {
  brokenRules,
  prepareTypes,
  type Compatibility,
  type EarlierVersion,
  type ResolvedText
} from './compatibility.ts'

/** Requests under way at one time for one question. */
const parallel = 8

/**
 * The sentences of a rule for registries that know versions by number and say little or nothing of what is wrong. Versions that
 * were deleted (`versionOf` gives nothing) do not count.
 */
export async function checkVersions(
  level: Compatibility,
  schema: ResolvedText,
  latest: number,
  versionOf: (version: number) => Promise<ResolvedText | undefined>
): Promise<readonly string[]> {
  await prepareTypes(schema)
  if (level === 'none' || latest === 0) return []
  const numbers = Array.from({ length: latest }, (_, index) => index + 1)
  const needed = level.endsWith('-transitive') ? numbers : numbers.slice(-1)
  const found = await inParallel(needed, parallel, async (version): Promise<EarlierVersion | undefined> => {
    const known = await versionOf(version)
    return known && { ...known, version }
  })
  return brokenRules(
    level,
    schema,
    found.filter(version => version !== undefined)
  )
}
