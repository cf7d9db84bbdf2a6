import { fromSnapshot } from '../../src/watermark/producer-progress.ts'
import { allRead, reading, receive, type Rules, type World } from './world.ts'

const raise = (items: readonly number[], at: number): number[] =>
  items.map((item, index) => (index === at ? item + 1 : item))

export function successors(rules: Rules, world: World): (readonly [string, World])[] {
  const found: (readonly [string, World])[] = []
  if (world.failure) return found
  for (const producer of rules.script.keys()) produce(rules, world, producer, found)
  const { channel, view, vitals, missed } = world
  if (view < vitals.length) {
    found.push(['the vitals are read', reading(rules, { ...world, view: vitals.length }, () => undefined)])
    if (rules.breaks !== 'never') {
      const lost = Array.from({ length: vitals.length - view }, (_, index) => view + index)
      const incomplete = rules.breaks === 'careful'
      found.push([
        'the vitals break off, and go on behind these',
        { ...world, view: vitals.length, missed: [...missed, ...lost], incomplete }
      ])
    }
  }
  if (missed.length > 0) found.push(['what was missed is told again', reading(rules, allRead(world), () => undefined)])
  channel.forEach((name, at) => {
    const rest = { ...world, channel: channel.filter((_, index) => index !== at) }
    found.push([`${name} arrives`, receive(rules, rest, name)])
    const again = receive(rules, world, name)
    if (JSON.stringify(again.tracker) !== JSON.stringify(world.tracker))
      found.push([`${name} arrives, and will again`, again])
  })
  if (rules.crashes) crash(world, found)
  // Silence: nothing is on its way, as far as the reader can see.
  if (rules.waives && channel.length === 0)
    found.push(['the reader gives up waiting', reading(rules, world, tracker => void tracker.waive(Infinity))])
  return found
}

function produce(rules: Rules, world: World, producer: number, found: (readonly [string, World])[]): void {
  const { made, sent, vitals, view, floor, channel } = world
  const report = vitals.findIndex(each => each.producer === producer)
  const announced = report >= 0
  if (!announced && rules.announces)
    found.push([`${producer} is announced`, { ...world, vitals: [...vitals, { producer, watermark: null, last: 0 }] }])
  const total = rules.script[producer]!.length
  const admitted = rules.announced[producer] || !rules.floor || floor[producer] !== null
  if (announced && !admitted && report < view) {
    const now = fromSnapshot(world.tracker.watermark)
    found.push([
      `${producer} is admitted`,
      { ...world, floor: floor.map((old, at) => (at === producer ? Math.max(now, -1) : old)) }
    ])
  }
  if ((announced || !rules.announces) && admitted && made[producer]! < total) {
    const next = { ...world, made: raise(made, producer) }
    // Where nothing is told before it is sent, making and sending are one.
    found.push(
      rules.reports === 'made'
        ? [`${producer} makes a record`, next]
        : [`${producer} sends ${made[producer]! + 1}`, send(next, producer)]
    )
  }
  if (rules.reports === 'made' && sent[producer]! < made[producer]!)
    found.push([`${producer} sends ${sent[producer]! + 1}`, send(world, producer)])
  if (rules.reports === 'never') return
  const last = (rules.reports === 'made' ? made : sent)[producer]!
  const told = vitals.findLast(each => each.producer === producer)?.last
  const claim = rules.offByOne ? last - 1 : last
  if (announced && last > 0 && told !== claim && channel.length < 3) {
    const watermark = rules.script[producer]![last - 1]![1]
    found.push([`${producer} reports`, { ...world, vitals: [...vitals, { producer, watermark, last: claim }] }])
  }
}

function send(world: World, producer: number): World {
  const sent = raise(world.sent, producer)
  return { ...world, sent, channel: [...world.channel, `${producer}:${sent[producer]}`].sort() }
}

function crash(world: World, found: (readonly [string, World])[]): void {
  const { tracker, committed, since, channel } = world
  if (since.length === 0) return
  found.push(['the reader commits', { ...world, committed: tracker, since: [] }])
  const again = [...new Set([...channel, ...since])].sort()
  found.push(['the reader crashes', { ...world, tracker: committed, channel: again, since: [] }])
}
