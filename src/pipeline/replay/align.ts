/** Two that belong together, or one that has no counterpart. */
export interface Pair<Item> {
  readonly left: Item | undefined
  readonly right: Item | undefined
}

/** Most cells of the table; longer lists are paired by their places, what is the same at both ends left out. */
const mostCells = 4_000_000

/**
 * Pairs two lists so that as many as can be are the same (their longest common subsequence). What is between these is paired in
 * its order, as different; what then is left over has no counterpart.
 */
export function* align<Item>(
  left: readonly Item[],
  right: readonly Item[],
  isSame: (left: Item, right: Item) => boolean
): Generator<Pair<Item>, void, undefined> {
  let begin = 0
  const shorter = Math.min(left.length, right.length)
  while (begin < shorter && isSame(left[begin]!, right[begin]!)) yield { left: left[begin], right: right[begin++] }
  let end = 0
  while (end < shorter - begin && isSame(left.at(-1 - end)!, right.at(-1 - end)!)) end++
  const ones = left.slice(begin, left.length - end)
  const others = right.slice(begin, right.length - end)
  let [one, other] = [0, 0]
  for (const [nextOne, nextOther] of [...common(ones, others, isSame), [ones.length, others.length] as const]) {
    for (; one < nextOne || other < nextOther; one++, other++)
      yield {
        left: one < nextOne ? ones[one] : undefined,
        right: other < nextOther ? others[other] : undefined
      }
    ;[one, other] = [nextOne, nextOther]
    if (one < ones.length && other < others.length) yield { left: ones[one++], right: others[other++] }
  }
  for (; end > 0; end--) yield { left: left.at(-end), right: right.at(-end) }
}

/** Places of the longest common subsequence. */
function common<Item>(
  left: readonly Item[],
  right: readonly Item[],
  isSame: (left: Item, right: Item) => boolean
): (readonly [number, number])[] {
  const width = right.length + 1
  if ((left.length + 1) * width > mostCells) return []
  const longest = new Uint32Array((left.length + 1) * width)
  const same = new Uint8Array(longest.length)
  for (let one = left.length - 1; one >= 0; one--)
    for (let other = right.length - 1; other >= 0; other--) {
      const at = one * width + other
      if (isSame(left[one]!, right[other]!)) {
        same[at] = 1
        longest[at] = longest[at + width + 1]! + 1
      } else longest[at] = Math.max(longest[at + width]!, longest[at + 1]!)
    }
  const places: (readonly [number, number])[] = []
  for (let [one, other] = [0, 0]; one < left.length && other < right.length;) {
    const at = one * width + other
    if (same[at]) places.push([one++, other++])
    else if (longest[at + width]! >= longest[at + 1]!) one++
    else other++
  }
  return places
}
