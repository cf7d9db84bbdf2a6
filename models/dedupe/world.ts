import type { ProducerId, Stamp } from '../../src/core/stamp.ts'
import { TopicMembership } from '../../src/watermark/membership.ts'
import { PartitionTracker, type TrackerSnapshot } from '../../src/watermark/partition-tracker.ts'
import { noCounts } from '../../src/watermark/vitals.ts'

/**
 * A reader that meets processes which send a record or two and end, on a channel that delivers any record at any time, again and again. It
 * commits what it has processed together with its tracker, the product's, and loses the rest when it crashes. Time goes by in
 * steps of half of what is remembered.
 */
export interface Reader {
  readonly snapshot: TrackerSnapshot | undefined
  readonly got: readonly string[]
  /** Counted as lost. */
  readonly lost: readonly string[]
}

export interface World {
  readonly now: number
  /** How many records each producer has sent; its vitals say that it has ended. */
  readonly sent: readonly number[]
  readonly ended: readonly boolean[]
  readonly reader: { readonly live: Reader; readonly committed: Reader }
  readonly crashes: number
  readonly failure?: string
}

export interface Rules {
  /** When each is born, in steps. */
  readonly producers: readonly number[]
  /** How many records each sends. */
  readonly sends: readonly number[]
  readonly steps: number
  /** A record of a producer that may be forgotten is refused. */
  readonly refuses: boolean
  /** Only who has ended is forgotten. */
  readonly asksWhoLives: boolean
  /** What a commit keeps of the tracker. */
  stored(snapshot: TrackerSnapshot): TrackerSnapshot | undefined
  /** A hole is final, as on a log; else what is missing may come. */
  readonly ordered: boolean
  /** What the channel does, where it is not what the reader believes. */
  readonly channel?: 'unordered'
  readonly givesUp: boolean
  /** What is given up counts as processed from then on. */
  readonly closes: boolean
}

export const rules: Rules = {
  producers: [0, 2],
  sends: [2, 1],
  steps: 5,
  refuses: true,
  asksWhoLives: true,
  stored: snapshot => snapshot,
  ordered: true,
  givesUp: false,
  closes: true
}

export const horizonless = (snapshot: TrackerSnapshot): TrackerSnapshot => {
  const rest: { -readonly [Name in keyof TrackerSnapshot]: TrackerSnapshot[Name] } = { ...snapshot }
  delete rest.forgotten
  return rest
}

const nothing: Reader = { snapshot: undefined, got: [], lost: [] }

export const start = ({ producers }: Rules): World => ({
  now: 0,
  sent: producers.map(() => 0),
  ended: producers.map(() => false),
  reader: { live: nothing, committed: nothing },
  crashes: 1
})

const day = 24 * 3_600_000
const beginning = 1_700_000_000_000
const kept = 8 * day
const timeOf = (step: number): number => beginning + step * (kept / 2)

/** A UUIDv7 of that moment. */
function idOf(index: number, { producers }: Rules): ProducerId {
  const id = Buffer.alloc(16, index + 1)
  id.writeUIntBE(timeOf(producers[index]!), 0, 6)
  id[6] = 0x70
  id[8] = 0x80
  return id.toString('latin1')
}

/** Whoever lives has said so before its first record. */
function membershipOf(rules: Rules, { now, sent, ended }: World): TopicMembership {
  const membership = new TopicMembership()
  membership.markComplete()
  for (const [index, last] of sent.entries()) {
    if (rules.producers[index]! > now || !rules.asksWhoLives) continue
    const watermark = ended[index] ? Infinity : 0
    const outputs = new Map([['topic', { watermark, last: new Map(last > 0 ? [[0, last]] : []) }]])
    const state = ended[index] ? ('left' as const) : ('active' as const)
    const report = { producer: idOf(index, rules), task: `p${index}`, durable: false, state, watermark, outputs }
    membership.report({ ...report, counts: noCounts, commit: 1, beat: 1 }, 'topic', 0)
  }
  return membership
}

function trackerOf(rules: Rules, world: World): PartitionTracker {
  const tracker = new PartitionTracker(0, 0, world.reader.live.snapshot)
  tracker.learn(membershipOf(rules, world))
  return tracker
}

const living = (world: World, live: Partial<Reader>): World => ({
  ...world,
  reader: { ...world.reader, live: { ...world.reader.live, ...live } }
})

export function successors(rules: Rules, world: World): (readonly [string, World])[] {
  const found: (readonly [string, World])[] = []
  if (world.failure) return found
  const add = (name: string, next: World): void => void found.push([name, next])
  for (const [index, born] of rules.producers.entries()) {
    const sent = world.sent[index]!
    if (born > world.now || world.ended[index]) continue
    if (sent < rules.sends[index]!)
      add(`p${index} sends ${sent + 1}`, { ...world, sent: world.sent.with(index, sent + 1) })
    if (sent > 0) add(`p${index} ends`, { ...world, ended: world.ended.with(index, true) })
  }
  for (const [index, sent] of world.sent.entries())
    for (let sequence = 1; sequence <= sent; sequence++) deliver(rules, world, index, sequence, add)
  if (world.now < rules.steps) add('time goes by', look(rules, { ...world, now: world.now + 1 }))
  if (rules.givesUp) giveUp(rules, world, add)
  const { live, committed } = world.reader
  if (JSON.stringify(live) !== JSON.stringify(committed)) {
    const snapshot = live.snapshot && rules.stored(live.snapshot)
    add('the reader commits', { ...world, reader: { live, committed: { ...live, snapshot } } })
  }
  if (world.crashes > 0)
    add('the reader crashes', { ...world, crashes: world.crashes - 1, reader: { live: committed, committed } })
  return found
}

/** The reader looks who may be forgotten, as it does all the time. */
function look(rules: Rules, world: World): World {
  const tracker = trackerOf(rules, world)
  tracker.forget(timeOf(world.now), kept)
  return living(world, { snapshot: tracker.snapshot() })
}

function deliver(
  rules: Rules,
  world: World,
  index: number,
  sequence: number,
  add: (name: string, world: World) => void
): void {
  const name = `p${index}:${sequence}`
  const { got, lost } = world.reader.live
  // A log brings nothing before what comes before it.
  const isFirst = sequence === 1 || got.includes(`p${index}:${sequence - 1}`) || world.reader.live.lost.length > 0
  if (rules.ordered && rules.channel === undefined && !isFirst) return
  const tracker = trackerOf(rules, world)
  const stamp: Stamp = { producer: idOf(index, rules), sequence, eventTime: 0, watermark: undefined, late: false }
  const verdict = tracker.judge(stamp)
  if (verdict === 'duplicate') {
    // What was given up in time may come after all; it must not be given up before it had any.
    if (lost.includes(name) && !rules.givesUp)
      add(`${name} is dropped`, { ...world, failure: `LOST ${name} came, and was passed over` })
    return
  }
  if (verdict === 'forgotten' && rules.refuses) {
    const isAlive = !world.ended[index]
    if (isAlive) add(`${name} is refused`, { ...world, failure: `REFUSED ${name}, whose producer lives` })
    return
  }
  const skipped: string[] = []
  if (verdict === 'gap' && rules.ordered) {
    for (let missing = tracker.expected(stamp.producer); missing < sequence; missing++)
      skipped.push(`p${index}:${missing}`)
    tracker.skipTo(stamp.producer, sequence - 1)
  }
  if (verdict !== 'forgotten') tracker.processed(stamp)
  add(
    `${name} is processed`,
    living(world, { snapshot: tracker.snapshot(), got: [...got, name].sort(), lost: [...lost, ...skipped].sort() })
  )
}

function giveUp(rules: Rules, world: World, add: (name: string, world: World) => void): void {
  const tracker = trackerOf(rules, world)
  const given = tracker.giveUp(0, 0)
  if (given.length === 0) return
  const names = rules.producers.map((_, index) => idOf(index, rules))
  const lost = given.flatMap(({ producer, from, to }) =>
    Array.from({ length: to - from + 1 }, (_, at) => `p${names.indexOf(producer)}:${from + at}`)
  )
  const live = { lost: [...new Set([...world.reader.live.lost, ...lost])].sort() }
  add(`${lost.join(' ')} given up`, living(world, { ...live, ...(rules.closes && { snapshot: tracker.snapshot() }) }))
}

export function violation({ failure, reader }: World): string | undefined {
  if (failure) return failure
  const { got, lost } = reader.live
  if (new Set(got).size < got.length) return `DUPLICATE ${got.join(' ')}`
  const both = got.find(name => lost.includes(name))
  return both && `COUNTED TWICE ${both} is processed, and counted as lost`
}
