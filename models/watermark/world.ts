import { encodeStamp, decodeStamp, type Stamp } from '../../src/core/stamp.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker, type TrackerSnapshot } from '../../src/watermark/partition-tracker.ts'
import { fromSnapshot } from '../../src/watermark/producer-progress.ts'
import { noCounts, type Vitals } from '../../src/watermark/vitals.ts'

/**
 * Two producers of a partition, a channel that keeps no order and repeats, the vitals as a log that the reader reads now
 * and then, and a reader that commits and crashes: the production tracker and membership in every interleaving.
 */
export interface World {
  /** Records made, and of these, handed to the channel. */
  readonly made: readonly number[]
  readonly sent: readonly number[]
  /** Reports in the order in which they were made. */
  readonly vitals: readonly Report[]
  /** The reader has read so many of them; those that it missed are not among them. */
  readonly view: number
  readonly missed: readonly number[]
  readonly incomplete: boolean
  /** `producer:sequence`. */
  readonly channel: readonly string[]
  readonly tracker: TrackerSnapshot
  /** The last commit, and what was read since: it comes again after a crash. */
  readonly committed: TrackerSnapshot
  readonly since: readonly string[]
  /** What a producer that joined later must not be before. */
  readonly floor: readonly (number | null)[]
  readonly failure?: string
}

export interface Report {
  readonly producer: number
  readonly watermark: number | null
  readonly last: number
}

/** A record: when it happened, and what is promised after it. */
export type Script = readonly (readonly (readonly [eventTime: number, promise: number])[])[]

export interface Rules {
  readonly script: Script
  /** Announced before anything else happens. */
  readonly announced: readonly boolean[]
  /** A producer announces itself before its first record. */
  readonly announces: boolean
  /** It then waits until the reader knows, and is not before the watermark of that moment. */
  readonly floor: boolean
  /** A record of somebody unknown makes the reader read the vitals first. */
  readonly asks: boolean
  /** The reader may crash. */
  readonly crashes: boolean
  /** Producers report how far they are: of what is sent, or of what is made. */
  readonly reports: 'sent' | 'made' | 'never'
  /** Less than the truth in `last` of a report. */
  readonly offByOne: boolean
  /** After a silence the reader waits no more for what it was told of. */
  readonly waives: boolean
  /** The subscription to the vitals may break, and misses what is said meanwhile; `careful`: and it knows that. */
  readonly breaks: 'never' | 'careful' | 'careless'
  readonly clamp: boolean
}

export const rules: Rules = {
  script: [
    [
      [5, 0],
      [9, 6],
      [12, 11]
    ],
    [
      [4, 0],
      [7, 7]
    ]
  ],
  announced: [true, true],
  announces: true,
  floor: false,
  asks: true,
  crashes: false,
  reports: 'never',
  offByOne: false,
  waives: false,
  breaks: 'never',
  clamp: true
}

const idOf = (producer: number): string => `${producer}`.padEnd(16, '-')
const fresh: TrackerSnapshot = { watermark: null, producers: {} }

export function start({ announced }: Rules): World {
  const vitals = announced.flatMap((known, producer) => (known ? [{ producer, watermark: null, last: 0 }] : []))
  const none = announced.map(() => 0)
  return {
    made: none,
    sent: none,
    vitals,
    view: vitals.length,
    missed: [],
    incomplete: false,
    channel: [],
    tracker: fresh,
    committed: fresh,
    since: [],
    floor: announced.map(() => null)
  }
}

function membershipOf({ vitals, view, missed, incomplete }: World): TopicMembership {
  const membership = new TopicMembership()
  for (const [index, { producer, watermark, last }] of vitals.slice(0, view).entries()) {
    if (missed.includes(index)) continue
    const output = { watermark: watermark ?? -Infinity, last: new Map([[0, last]]) }
    const report = {
      producer: idOf(producer),
      task: `${producer}`,
      durable: true,
      outputs: new Map([['topic', output]])
    }
    const rest = { state: 'active', watermark: -Infinity, counts: noCounts, commit: 0, beat: 1 } as const
    membership.report({ ...rest, ...report } as unknown as Vitals, 'topic', 0)
  }
  if (!incomplete) membership.markComplete()
  return membership
}

/** Lets the reader do something, and looks whether its watermark stays where it was, or rises. */
export function reading(rules: Rules, world: World, act: (tracker: PartitionTracker) => string | undefined): World {
  const before = fromSnapshot(world.tracker.watermark)
  const tracker = new PartitionTracker(0, 0, rules.clamp ? world.tracker : { ...world.tracker, watermark: null })
  tracker.learn(membershipOf(world))
  const failure = act(tracker)
  const back = tracker.watermark < before ? `NON-MONOTONE ${before} -> ${tracker.watermark}` : undefined
  const broken = failure ?? back
  return { ...world, tracker: tracker.snapshot(), ...(broken !== undefined && { failure: broken }) }
}

/** One record arrives. */
export function receive(rules: Rules, world: World, name: string): World {
  const [producer = 0, sequence = 0] = name.split(':').map(Number)
  const [eventTime, promise] = rules.script[producer]![sequence - 1]!
  const floor = world.floor[producer] ?? -Infinity
  // Admitted late: it says so itself, and is no false alarm.
  const late = eventTime < floor
  const stamp: Stamp = decodeStamp(encodeStamp(idOf(producer), sequence, eventTime, promise, late))
  const known =
    rules.asks && new PartitionTracker(0, 0, world.tracker).isStranger(stamp.producer) ? allRead(world) : world
  const next = reading(rules, known, tracker => {
    if (tracker.judge(stamp) === 'duplicate') return undefined
    if (eventTime < tracker.watermark && !late) return `LATE ${name} of ${eventTime} at watermark ${tracker.watermark}`
    tracker.processed(stamp)
    return undefined
  })
  return { ...next, since: rules.crashes ? [...new Set([...world.since, name])].sort() : [] }
}

/** What was missed is told again by those who know, or read again. */
export function allRead(world: World): World {
  return { ...world, view: world.vitals.length, missed: [], incomplete: false }
}
