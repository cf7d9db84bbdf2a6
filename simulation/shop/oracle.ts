import type { Evidence } from '../oracle/evidence.ts'
import type { Problems } from '../oracle/problems.ts'
import type { Read } from '../oracle/topic-log.ts'
import type { Order, Script } from './script.ts'
import { stepsOf, windowOf, type Pane, type Step, type Total } from './shop.ts'

const parse = <Value>({ raw }: Read): Value => JSON.parse(Buffer.from(raw.value!).toString()) as Value
const keyOf = ({ raw }: Read): string => Buffer.from(raw.key!).toString()

export interface ShopRun {
  readonly script: Script
  /** What the sink has written: `item/count` -> id. */
  readonly rows: ReadonlyMap<string, string>
  /** The broker keeps the order of a partition. */
  readonly ordered: boolean
  /** The broker loses what it has confirmed: that must be counted. */
  readonly loses: boolean
}

/**
 * Counts the whole run again from what came in, hop by hop: what is readable at one hop is the input of the next. Independent
 * of the pipeline: it reads the logs as they lie.
 */
export function checkShop(evidence: Evidence, { script, rows, ordered, loses }: ShopRun): void {
  const { problems } = evidence
  const all = [...script.splits.values()].flat()
  compare(
    'orders',
    ids(evidence.committed('orders')),
    all.map(({ id }) => id),
    problems
  )

  const orders = evidence.readable('orders').map(parse<Order>)
  const steps = orders.filter(order => !order.poison).flatMap(stepsOf)
  compare(
    'steps',
    ids(evidence.committed('steps')),
    steps.map(({ id }) => id),
    problems
  )
  const poison = orders.flatMap(order => (order.poison ? [order.id] : []))
  compare('parked', ids(evidence.committed('orders.parked')), poison, problems)
  const unparked = evidence.missing('orders.parked')
  if (unparked.length > 0 && !loses)
    problems.add('lost-write', `orders.parked: ${unparked.length} committed copies were never written`)

  const readable = evidence.readable('steps')
  compare('totals', ids(evidence.committed('totals')), ids(readable), problems)
  checkTotals(evidence.committed('totals'), readable, ordered, problems)
  checkPanes(evidence.committed('panes'), readable, problems)
  checkRows(evidence.readable('totals'), rows, problems)
  for (const [topic, reader] of [
    ['orders', 'route'],
    ['steps', 'count'],
    ['totals', 'ledger']
  ] as const)
    checkCounts(evidence, topic, reader, loses)
}

const ids = (reads: readonly Read[]): string[] => reads.map(read => parse<{ id: string }>(read).id)

function compare(what: string, have: readonly string[], wanted: readonly string[], problems: Problems): void {
  const seen = new Set<string>()
  const want = new Set(wanted)
  for (const id of have) {
    if (seen.has(id)) problems.add('duplicate', `${what} has ${id} twice`)
    if (!want.has(id)) problems.add('duplicate', `${what} has ${id}, which nobody sent`)
    seen.add(id)
  }
  for (const id of want) if (!seen.has(id)) problems.add('lost-write', `${what} lacks ${id}`)
}

/** State is the fold of the inputs: each total goes on where the one before of its item ended, in the same attempts. */
function checkTotals(totals: readonly Read[], steps: readonly Read[], ordered: boolean, problems: Problems): void {
  const amounts = new Map(steps.map(read => [parse<Step>(read).id, parse<Step>(read).amount]))
  const inputs = new Map<string, string[]>()
  for (const read of steps) inputs.set(keyOf(read), [...(inputs.get(keyOf(read)) ?? []), parse<Step>(read).id])
  const byItem = new Map<string, Total[]>()
  for (const read of totals) byItem.set(keyOf(read), [...(byItem.get(keyOf(read)) ?? []), parse<Total>(read)])
  for (const [item, list] of byItem) {
    let total = 0
    let before = ''
    list.forEach((entry, index) => {
      total += amounts.get(entry.id) ?? 0
      if (entry.count !== index + 1 || entry.total !== total)
        problems.add(
          'wrong-state',
          `${item}: number ${index + 1} should be total ${total}, is ${JSON.stringify(entry)}`
        )
      if (entry.before !== before)
        problems.add(
          'wrong-state',
          `${item}: ${entry.id} was made on the state of attempt ${entry.before}, not of ${before}`
        )
      before = entry.attempt
    })
    const written = (inputs.get(item) ?? []).join()
    const processed = list.map(({ id }) => id).join()
    if (ordered && written !== processed)
      problems.add('inconsistent-offset', `${item}: written in the order ${written}, processed as ${processed}`)
  }
}

/** The pane of a window that closed on time has everything of that window (P3). */
function checkPanes(panes: readonly Read[], steps: readonly Read[], problems: Problems): void {
  const want = new Map<string, string[]>()
  for (const read of steps) {
    const name = `${keyOf(read)}@${windowOf(read.stamp!.eventTime)}`
    want.set(name, [...(want.get(name) ?? []), parse<Step>(read).id])
  }
  const have = new Map<string, string>()
  for (const read of panes) {
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
  for (const name of have.keys()) problems.add('duplicate', `a pane of ${name}, where there was nothing`)
}

function checkRows(totals: readonly Read[], rows: ReadonlyMap<string, string>, problems: Problems): void {
  const want = new Map(totals.map(read => [`${keyOf(read)}/${parse<Total>(read).count}`, parse<Total>(read).id]))
  for (const [name, id] of want)
    if (rows.get(name) !== id) problems.add('lost-write', `row ${name} is ${rows.get(name) ?? 'missing'}, not ${id}`)
  for (const [name, id] of rows)
    if (want.get(name) !== id) problems.add('aborted-read', `row ${name} is ${id}, which was never committed`)
}

/** Conservation (P6): sent = processed + parked + lost, by the counts of the tasks themselves. */
function checkCounts(evidence: Evidence, topic: string, reader: string, loses: boolean): void {
  const { problems } = evidence
  const sum = { processed: 0, parked: 0, late: 0, lost: 0 }
  for (const { head } of evidence.last(reader))
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += head.counts[name] ?? 0
  const there = evidence.readable(topic).length
  if (sum.processed + sum.parked !== there)
    problems.add('wrong-count', `${reader} counts ${sum.processed} processed and ${sum.parked} parked of ${there}`)
  if (sum.late > 0) problems.add('wrong-count', `${reader} counts ${sum.late} late`)
  const missing = evidence.missing(topic)
  if (missing.length > 0 && !loses)
    problems.add('lost-write', `${topic}: ${missing.length} committed outputs were never written`)
  // What is lost before the first or after the last that a reader gets of a producer cannot be told from what it never had to read.
  const inside = missing.filter(read => isInside(read, evidence.readable(topic))).length
  if (sum.lost < inside || sum.lost > missing.length)
    problems.add(
      'wrong-count',
      `${reader} counts ${sum.lost} lost, ${missing.length} are missing in ${topic}, ${inside} of them in holes`
    )
}

function isInside({ partition, stamp }: Read, readable: readonly Read[]): boolean {
  const others = readable.flatMap(read =>
    read.partition === partition && read.stamp!.producer === stamp!.producer ? [read.stamp!.sequence] : []
  )
  return others.some(other => other < stamp!.sequence) && others.some(other => other > stamp!.sequence)
}
