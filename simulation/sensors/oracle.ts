import type { TallySnapshot } from '../../src/watermark/index.ts'
import { worldStart } from '../core/machine.ts'
import type { Evidence } from '../oracle/evidence.ts'
import type { Read } from '../oracle/topic-log.ts'
import { windowOf, type Pane, type Reading, type SensorParts } from './sensors.ts'

const parse = <Value>({ raw }: Read): Value => JSON.parse(Buffer.from(raw.value!).toString()) as Value
const keyOf = ({ raw }: Read): string => Buffer.from(raw.key!).toString()
const time = (value: number | 'end' | null): number => (value === 'end' ? Infinity : (value ?? -Infinity))

/** Every task of these stages has come this near to the present (P4): there are no faults, and every producer goes on. */
export function checkLiveness(
  evidence: Evidence,
  stages: Readonly<Record<string, number>>,
  bound: number,
  now: number
): void {
  const { problems } = evidence
  for (const [stage, partitions] of Object.entries(stages)) {
    const tasks = evidence.last(stage)
    if (tasks.length < partitions)
      problems.add('unseen', `${tasks.length} of ${partitions} tasks of ${stage} have committed anything`)
    for (const { task, head } of tasks) {
      const behind = worldStart + now - time(head.watermark)
      if (behind > bound) problems.add('unseen', `the watermark of ${task} is ${behind} ms behind, without any fault`)
    }
  }
}

/** What was confirmed is there; what is there was processed once; what was processed is in its pane. */
export function checkSensors(evidence: Evidence, { confirmed }: SensorParts, loses: boolean): void {
  const { problems } = evidence
  const readings = evidence.readable('readings')
  const there = new Set<string>()
  for (const read of readings) {
    const { id } = parse<Reading>(read)
    if (there.has(id)) problems.add('duplicate', `readings has ${id} under two numbers`)
    there.add(id)
  }
  for (const id of confirmed)
    if (!there.has(id) && !loses) problems.add('lost-write', `${id} was confirmed, and is not there`)

  const echoed = new Map<string, number>()
  for (const read of evidence.committed('echoes')) {
    const { id } = parse<Reading>(read)
    echoed.set(id, (echoed.get(id) ?? 0) + 1)
  }
  for (const [id, count] of echoed) if (count > 1) problems.add('duplicate', `${id} was processed ${count} times`)
  for (const id of there) if (!echoed.has(id)) problems.add('lost-write', `${id} is there, and was not processed`)
  for (const id of echoed.keys())
    if (!there.has(id)) problems.add('aborted-read', `${id} was processed, and is not there`)
  const told = evidence.committed('echoes').map(read => parse<Reading>(read))
  const late = new Set(told.flatMap(each => (each.late ? each.id : [])))
  checkPanes(
    evidence,
    readings.filter(read => !late.has(idOf(read)))
  )
  for (const read of readings) {
    // A producer that comes with something old is late without having promised anything.
    if (late.has(idOf(read)) && !parse<Reading>(read).tardy) problems.add('false-late', `${idOf(read)} was told late`)
    if (read.stamp!.late && !late.has(idOf(read))) problems.add('wrong-count', `${idOf(read)} was not told late`)
  }
  const expired = new Set(told.flatMap(each => (each.expired ? each.id : [])))
  checkFates(evidence, 'readings', 'gauge', read =>
    expired.has(idOf(read)) ? 'expired' : late.has(idOf(read)) ? 'late' : 'processed'
  )
  checkFates(evidence, 'echoes', 'board', read => (read.stamp!.late ? 'late' : 'processed'))
}

type Fate = 'processed' | 'late' | 'expired'

/**
 * Conservation (P6): of what is there, each record has one fate, and the tasks have counted it so, in all and by spans of event
 * time.
 */
function checkFates(evidence: Evidence, topic: string, stage: string, fateOf: (read: Read) => Fate): void {
  const { problems } = evidence
  const want = new Map<string, number>()
  const add = (counts: Map<string, number>, name: string, count: number): void =>
    void (count > 0 && counts.set(name, (counts.get(name) ?? 0) + count))
  for (const read of evidence.readable(topic)) {
    const fate = fateOf(read)
    add(want, `${spanOf(read.stamp!.eventTime)} ${fate}`, 1)
    // What is late is processed, and what has expired is late.
    add(want, 'processed', 1)
    if (fate !== 'processed') add(want, 'late', 1)
    if (fate === 'expired') add(want, 'expired', 1)
  }
  const have = new Map<string, number>()
  for (const { head } of evidence.last(stage)) {
    for (const name of ['processed', 'late', 'expired', 'parked']) add(have, name, head.counts[name] ?? 0)
    const { every, spans } = head.tallies!.read[topic] as TallySnapshot
    if (every !== span) problems.add('wrong-count', `${stage} counts by spans of ${every} ms`)
    for (const [start, counts] of Object.entries(spans))
      fates.forEach((fate, column) => add(have, `${start} ${fate}`, counts[column] ?? 0))
  }
  for (const name of new Set([...want.keys(), ...have.keys()]))
    if (want.get(name) !== have.get(name))
      problems.add(
        'wrong-count',
        `${stage} counts ${have.get(name) ?? 0} ${name} of ${topic}, not ${want.get(name) ?? 0}`
      )
}

/** The default interval of a topic, ms. */
const span = 60_000
/** The columns of a tally, as the vitals have them. */
const fates = ['processed', 'late', 'expired', 'parked']
const spanOf = (at: number): number => Math.floor(at / span) * span
const idOf = (read: Read): string => parse<Reading>(read).id

/** A window that has closed has all of its readings; one that has not has shown nothing. */
function checkPanes(evidence: Evidence, readings: readonly Read[]): void {
  const { problems } = evidence
  const reached = new Map(
    evidence.last('gauge').map(({ task, head }) => [Number(task.split('/')[2]), time(head.watermark)])
  )
  const want = new Map<string, string[]>()
  for (const read of readings) {
    const { id, at } = parse<Reading>(read)
    if (windowOf(at) > (reached.get(read.partition) ?? -Infinity)) continue
    const name = `${keyOf(read)}@${windowOf(at)}`
    want.set(name, [...(want.get(name) ?? []), id])
  }
  const have = new Map<string, string>()
  for (const read of evidence.committed('panes')) {
    const { window, ids } = parse<Pane>(read)
    const name = `${keyOf(read)}@${window}`
    if (have.has(name)) problems.add('duplicate', `two panes of ${name}`)
    have.set(name, [...ids].sort().join())
  }
  for (const [name, ids] of want) {
    if (have.get(name) !== ids.sort().join())
      problems.add('incomplete-window', `pane of ${name} has ${have.get(name) ?? 'not come'}, not ${ids.join()}`)
    have.delete(name)
  }
  for (const name of have.keys()) problems.add('early-timer', `a pane of ${name}, which has not closed`)
}
