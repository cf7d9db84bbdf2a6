import type { Ailment } from '../../src/watermark/index.ts'

export const faultKinds = ['slow', 'failing', 'stopped', 'cut off', 'late', 'skewed'] as const
export type FaultKind = (typeof faultKinds)[number]

/** How a hop works. Everything in its power to go wrong, but its life, its network and its clock. */
export interface Mood {
  /** Time that each record takes, ms. */
  takes: number
  /** Share of the attempts that fail, 0 to 1. */
  fails: number
  /** Share of the records that are sent with a time of long ago, 0 to 1. */
  late: number
}

export interface Fault {
  readonly kind: FaultKind
  readonly victim: number
  /** Of `slow`: ms. Of `failing`, `late`: share. Of `skewed`: ms. */
  readonly size: number
  /** Of `cut off`: only from the broker that it reads. */
  readonly oneSided: boolean
  /** The causes by which it may be called: the first is the word for it, more only where nobody could tell from outside. */
  readonly causes: readonly Ailment[]
}

/** @param hops how many there are: the first is the source */
export function chooseFault(kind: FaultKind, hops: number, random: () => number): Fault {
  const victim = Math.floor(random() * hops)
  const isSource = victim === 0
  const oneSided = kind === 'cut off' && !isSource && random() < 0.5
  const between = (least: number, most: number): number => least + random() * (most - least)
  switch (kind) {
    case 'slow':
      // A source that takes its time has nothing to say meanwhile: seen from outside it is quiet.
      return {
        kind,
        victim,
        size: isSource ? 20_000 : between(300, 900),
        oneSided,
        causes: [isSource ? 'quiet' : 'slow']
      }
    case 'failing':
      return { kind, victim, size: isSource ? 1 : between(0.05, 0.5), oneSided, causes: ['failing'] }
    case 'stopped':
      return { kind, victim, size: 0, oneSided, causes: ['silent'] }
    case 'cut off':
      return { kind, victim, size: 0, oneSided, causes: [oneSided ? 'cut-off' : 'silent'] }
    case 'late':
      // The last one sends nothing: the one before it does.
      return { kind, victim: Math.min(victim, hops - 2), size: between(0.05, 0.4), oneSided, causes: ['late'] }
    case 'skewed': {
      const size = between(20_000, 300_000) * (random() < 0.5 ? -1 : 1)
      return { kind, victim, size, oneSided, causes: ['skewed'] }
    }
  }
}

export function describeFault({ kind, size, oneSided }: Fault): string {
  if (kind === 'failing' || kind === 'late') return `${kind} (${(size * 100).toFixed(0)} % of records)`
  if (kind === 'slow') return `slow (${size.toFixed(0)} ms a record)`
  if (kind === 'skewed') return `skewed (${(size / 1_000).toFixed(0)} s)`
  return oneSided ? 'cut off from its input' : kind
}
