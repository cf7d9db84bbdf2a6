import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Workers } from './workers.ts'

export interface RollingOptions {
  /** So often each worker is restarted. */
  readonly rounds: number
  readonly workers: Workers
  readonly folder: string
  readonly tell: (line: string) => void
}

/** The longest time that a partition of a stage stood still, though there was work for it. */
export interface Pause {
  readonly task: string
  readonly milliseconds: number
}

export interface Rolled {
  readonly restarts: number
  /** The longest of each task, the longest first. */
  readonly pauses: readonly Pause[]
}

/** For a worker to drain and for the next one to be ready, ms. */
const patience = 60_000

/** Restarts the workers one after the other, as a roll-out does: the next one when the one before is ready again. */
export async function roll({ rounds, workers, folder, tell }: RollingOptions): Promise<Rolled> {
  await workers.ready(patience)
  // Under load, and settled: what a start takes is no pause of a restart.
  await sleep(3_000)
  const from = Date.now()
  let restarts = 0
  for (let round = 1; round <= rounds; round++)
    for (let index = 0; index < workers.count; index++) {
      const began = performance.now()
      await workers.restart(index, patience)
      restarts++
      tell(`${round}/${rounds}: worker ${index} restarted in ${Math.round(performance.now() - began)} ms`)
    }
  await sleep(1_000)
  return { restarts, pauses: await pausesIn(folder, from, Date.now()) }
}

/** From what all workers have noted. */
async function pausesIn(folder: string, from: number, to: number): Promise<Pause[]> {
  const commits = new Map<string, number[]>()
  for (const file of await readdir(folder)) {
    if (!file.startsWith('commits-') || !file.endsWith('.log')) continue
    for (const line of (await readFile(join(folder, file), 'utf8')).split('\n')) {
      const [at, task] = line.split(' ')
      if (!task) continue
      const times = commits.get(task)
      if (times) times.push(Number(at))
      else commits.set(task, [Number(at)])
    }
  }
  return [...commits]
    .map(([task, times]) => ({ task: task.slice(task.indexOf('/') + 1), milliseconds: longest(times, from, to) }))
    .toSorted((one, other) => other.milliseconds - one.milliseconds)
}

function longest(times: readonly number[], from: number, to: number): number {
  const inside = [from, ...times.filter(time => time > from && time < to), to].toSorted((one, other) => one - other)
  return inside.reduce((most, time, index) => Math.max(most, time - (inside[index - 1] ?? time)), 0)
}
