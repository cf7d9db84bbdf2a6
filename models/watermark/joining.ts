import { encodeStamp, decodeStamp } from '../../src/core/stamp.ts'
import type { Belief } from '../../src/watermark/belief.ts'
import { round, TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker, type TrackerSnapshot } from '../../src/watermark/partition-tracker.ts'
import { fromSnapshot } from '../../src/watermark/producer-progress.ts'
import { noCounts, type Vitals } from '../../src/watermark/vitals.ts'
import { modelsOf, type Family, type Model } from '../model.ts'

/**
 * A producer that joins another one, with time: it waits a round after its announcement, and a reader whose last read of the
 * vitals began longer ago than that raises no watermark (docs/decisions/0016). The membership and the tracker are the product's.
 */
interface World {
  /** In half rounds. */
  readonly now: number
  readonly announced: number | undefined
  /** When the records of each producer happened; those on their way, in any order. */
  readonly made: readonly (readonly number[])[]
  readonly channel: readonly string[]
  /** A read of the vitals that is under way: when it began, and what it will tell. */
  readonly read: { readonly began: number; readonly hears: boolean } | undefined
  readonly heard: boolean
  readonly fresh: number
  /** Reads that have begun, and the last that came to the end. */
  readonly begun: number
  readonly ended: number
  readonly belief: Belief['held']
  readonly tracker: TrackerSnapshot
  readonly failure?: string
}

interface Rules {
  readonly waits: boolean
  readonly looks: boolean
  /** A read is as fresh as its beginning, or as its answer. */
  readonly counts: 'began' | 'ended'
  /** Each read takes longer than a round: what it tells is old when it comes. */
  readonly slow: boolean
}

const [steady, newcomer] = [0, 1]
const half = round / 2
const end = 5
const mostReads = 2
const most = [2, 1]
const idOf = (producer: number): string => `${producer}`.padEnd(16, '-')

function membershipOf({ heard, fresh, now, begun, ended }: World, looks: boolean): TopicMembership {
  const membership = new TopicMembership()
  for (const producer of heard ? [steady, newcomer] : [steady]) {
    const outputs = new Map([['topic', { watermark: -Infinity, last: new Map<number, number>() }]])
    const said = { producer: idOf(producer), task: `${producer}`, durable: false, state: 'joining', outputs } as const
    const vitals: Vitals = { ...said, watermark: -Infinity, counts: noCounts, commit: 0, beat: 1 }
    membership.report(vitals, 'topic', 0)
  }
  membership.markComplete()
  membership.readsBegun = ended
  membership.readEnded(fresh * half, (looks ? now : fresh) * half)
  membership.readsBegun = begun
  return membership
}

function trackerOf(world: World, { looks }: Rules): PartitionTracker {
  const tracker = new PartitionTracker(0, 0, world.tracker)
  tracker.belief.held = world.belief.map(each => ({ ...each }))
  tracker.learn(membershipOf(world, looks))
  return tracker
}

const after = (world: World, tracker: PartitionTracker): World => ({
  ...world,
  belief: tracker.belief.held,
  tracker: tracker.snapshot()
})

function arrived(world: World, name: string, rules: Rules): World {
  const [producer = 0, sequence = 0] = name.split(':').map(Number)
  const eventTime = world.made[producer]![sequence - 1]!
  const stamp = decodeStamp(encodeStamp(idOf(producer), sequence, eventTime, eventTime, false))
  const tracker = trackerOf(world, rules)
  const failure = eventTime < tracker.watermark ? `LATE ${name} of ${eventTime} at ${tracker.watermark}` : undefined
  tracker.processed(stamp)
  return { ...after(world, tracker), ...(failure !== undefined && { failure }) }
}

const family: Family<Rules, World> = {
  rules: { waits: true, looks: true, counts: 'began', slow: false },
  start: () => ({
    now: 0,
    announced: undefined,
    made: [[], []],
    channel: [],
    read: undefined,
    heard: false,
    fresh: 0,
    begun: 0,
    ended: 0,
    belief: [],
    tracker: { watermark: null, producers: {} }
  }),
  successors(rules, world) {
    const { now, announced, made, channel, read } = world
    const found: [string, World][] = []
    if (world.failure) return found
    if (now < end) found.push(['time goes on', { ...world, now: now + 1 }])
    if (announced === undefined) found.push(['the newcomer is announced', { ...world, announced: now }])
    const admitted = announced !== undefined && (!rules.waits || now - announced >= round / half)
    for (const producer of admitted ? [steady, newcomer] : [steady]) {
      const sequence = made[producer]!.length + 1
      if (sequence > most[producer]!) continue
      const more = made.map((times, index) => (index === producer ? [...times, now] : times))
      const name = `${producer}:${sequence}`
      found.push([`${name} is sent`, { ...world, made: more, channel: [...channel, name].sort() }])
    }
    for (const name of channel) {
      const rest = { ...world, channel: channel.filter(other => other !== name) }
      found.push([`${name} arrives`, arrived(rest, name, rules)])
    }
    if (!read && world.begun < mostReads)
      found.push([
        'a read begins',
        { ...world, begun: world.begun + 1, read: { began: now, hears: announced !== undefined } }
      ])
    if (read && (!rules.slow || now - read.began > round / half)) {
      const fresh = rules.counts === 'began' ? read.began : now
      const next = { ...world, read: undefined, heard: world.heard || read.hears, fresh, ended: world.begun }
      found.push(['a read ends', after(next, trackerOf(next, rules))])
    }
    return found
  },
  violation: (_, { failure }) => failure,
  isGoal: (_, { tracker, made }) =>
    made[newcomer]!.length === 1 && fromSnapshot(tracker.watermark) >= made[newcomer]![0]!
}

const model = modelsOf(family)

export const joiningModels: readonly Model[] = [
  model('W9', 'who joins waits a round; who has not read the vitals for a round raises no watermark', 'ok'),
  model('W9.s', 'the same where each read takes longer than a round: watermarks rise later, and rise', 'ok', {
    slow: true
  }),
  model('W9.a', 'who joins does not wait', /LATE/, { waits: false }),
  model('W9.b', 'the reader does not ask how old its vitals are', /LATE/, { looks: false }),
  model('W9.c', 'vitals are as fresh as the answer, not as the question', /LATE/, { counts: 'ended' })
]
