import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { dice } from '../pipeline/world.ts'
import { Battery, type BatteryEvent, type BatteryReport } from './battery.ts'

/** `TIDEMARK_LEASE_EVENTS=200`: so many events of any kind for each size, many of them before the last one is digested. */
const wanted = Number(process.env['TIDEMARK_LEASE_EVENTS'] ?? 0)
const seed = Number(process.env['TIDEMARK_SEED'] ?? Date.now() % 2 ** 31)

const sizes: [workers: number, partitions: number, events: BatteryEvent[]][] = [
  [1, 12, ['stop', 'kill']],
  [2, 13, ['kill', 'join', 'stop']],
  [3, 14, ['leave', 'stop', 'join']],
  [5, 16, ['stop', 'leave', 'kill', 'join', 'join']]
]

async function play(battery: Battery, size: number, events: readonly BatteryEvent[]): Promise<void> {
  const random = dice(seed + size)
  const pick = (): number => Math.floor(random() * 100)
  await battery.start(size)
  if (wanted === 0) for (const event of events) await battery.perform(event, pick())
  for (let index = 0; index < wanted; index++) {
    const choices: BatteryEvent[] = ['kill', 'leave', 'stop']
    if (battery.size < size + 2) choices.push('join', 'join')
    if (battery.size < size) choices.splice(0, 2)
    await battery.perform(choices[pick() % choices.length]!, pick(), random() < 0.6)
  }
}

function lineOf(size: number, partitions: number, report: BatteryReport): string {
  const { events, commits, doubleOwners, refused, late, handOvers, looks, slowest } = report
  const middle = handOvers[Math.floor(handOvers.length / 2)]
  const times =
    middle === undefined
      ? 'no hand-over'
      : `hand-over p50 ${middle.toFixed(0)} ms, max ${handOvers.at(-1)!.toFixed(0)} ms in ${Math.max(...looks)} looks`
  return (
    `leases: ${size} workers, ${partitions} partitions, ${events} events, ${commits} commits, ` +
    `${doubleOwners} double owners, ${refused} refused (${late} of stopped workers), ${times}, ` +
    `even again in ${slowest.toFixed(0)} ms at most`
  )
}

describe('workers that share partitions in one store', () => {
  it.each(sizes)(
    '%d of them: one committing owner, even after each event, late commits refused',
    async (size, partitions, events) => {
      const folder = await mkdtemp(join(tmpdir(), 'tidemark-leases-'))
      const battery = new Battery(join(folder, 'commits.db'), partitions, 1_000)
      try {
        await play(battery, size, events)
        const report = await battery.finish()
        console.log(`${lineOf(size, partitions, report)}; seed ${seed}`)
        const { looks, handOvers, late, commits } = report
        expect(report.doubleOwners).toBe(0)
        expect(commits).toBeGreaterThan(partitions * 3)
        if (size > 1) {
          expect(late).toBeGreaterThan(0)
          expect(handOvers.length).toBeGreaterThan(0)
          // One look sees it. Each release of its own is a look, too, and what it has lost it takes only after that. With
          // events on top of each other, the next owner may be gone before it has looked.
          if (wanted === 0) expect(Math.max(...looks)).toBeLessThanOrEqual(partitions)
        }
      } finally {
        await battery.dispose()
        await rm(folder, { recursive: true, force: true })
      }
    },
    60_000 + wanted * 10_000
  )
})
