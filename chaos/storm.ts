import { setTimeout as sleep } from 'node:timers/promises'
import type { Chunk, TcpProxy } from '../test/support/tcp-proxy.ts'
import type { Target } from './servers.ts'
import type { Workers } from './workers.ts'

/** What happened, how often. */
export type Tally = Record<string, number>

export interface StormOptions {
  readonly kills: number
  readonly sessionTimeout: number
  readonly random: () => number
  readonly broker: Target
  readonly store: Target
  readonly workers: Workers
  /** Rows at the destination. */
  readonly progress: () => number
  readonly tell: (line: string) => void
}

/** Without any progress for so long, with nothing in its way any more, a run is stuck. */
const stuckAfter = 120_000
/** Rows between two kills, mostly. */
const calm = 60
/** The number of `EndTxn` among Kafka's requests. */
const endTransaction = 26

type Fault = () => Promise<unknown>

/**
 * Kills workers, one after the other, each with another fault beside it: the kinds come in turn, shuffled, so that each of them is in
 * every handful of kills. Rejects when the pipeline is stuck.
 */
export async function storm(options: StormOptions): Promise<Tally> {
  const { kills, random, workers, progress, tell } = options
  const tally: Tally = { kills: 0 }
  const faults = faultsOf(options, () => void (tally['requests late'] = (tally['requests late'] ?? 0) + 1))
  const running: Promise<unknown>[] = []
  let deck: string[] = []
  let last = progress()
  for (let kill = 1; kill <= kills; kill++) {
    // Now and then on top of the one before, while its work is being taken over.
    if (random() < 0.3) await sleep(random() * 500)
    else await moved(last + calm, progress)
    last = progress()
    if (deck.length === 0) deck = shuffled(Object.keys(faults), random)
    const kind = deck.pop()
    const victim = pick(workers.count, random)
    tell(`${kill}/${kills}: kill worker ${victim}${kind ? `, ${kind}` : ''}; ${last} rows`)
    if (kind !== undefined) {
      tally[kind] = (tally[kind] ?? 0) + 1
      running.push(faults[kind]!().then(() => tell(`${kind}: over`)))
      await sleep(random() * 200)
    }
    tally['kills']!++
    await workers.kill(victim, random() * 300)
  }
  await Promise.all(running)
  await moved(last + calm, progress)
  return tally
}

function faultsOf(
  { broker, store, workers, sessionTimeout, random }: StormOptions,
  late: () => void
): Record<string, Fault> {
  const faults: Record<string, Fault> = {
    'stops past the lease': () => workers.stop(pick(workers.count, random), sessionTimeout * (1.3 + random()))
  }
  let crashing = Promise.resolve()
  for (const [name, { crash, proxy }] of Object.entries({ broker, store })) {
    // One after the other: a server that is starting cannot be stopped.
    if (crash) faults[`${name} restarts`] = () => (crashing = crashing.then(crash))
    if (!proxy) continue
    faults[`${name} cuts`] = () => proxy.cutDuring(() => sleep(100 + random() * sessionTimeout))
    faults[`${name} delays`] = async () => {
      proxy.delay = 20 + random() * 300
      await sleep(1_000 + random() * 2_000)
      proxy.delay = 0
    }
    faults[`${name} holds`] = () => hold(proxy, random, late, () => true)
  }
  const { proxy } = broker
  if (proxy && broker.url.startsWith('kafka:'))
    faults['EndTxn holds'] = () =>
      hold(proxy, random, late, ({ bytes }) => bytes.length > 6 && bytes.readInt16BE(4) === endTransaction)
  return faults
}

/** One request does not arrive now, on a connection that breaks; it arrives later, after whatever was done meanwhile. */
async function hold(
  proxy: TcpProxy,
  random: () => number,
  late: () => void,
  which: (chunk: Chunk) => boolean
): Promise<void> {
  let skip = pick(8, random)
  proxy.judge = chunk => {
    if (chunk.from !== 'client' || !which(chunk) || skip-- > 0) return 'pass'
    proxy.judge = undefined
    late()
    return 'hold'
  }
  await sleep(500 + random() * 3_000)
  proxy.judge = undefined
  await Promise.race([proxy.deliver(), sleep(5_000)])
}

async function moved(to: number, progress: () => number): Promise<void> {
  for (let since = performance.now(), seen = progress(); ;) {
    const now = progress()
    if (now >= to) return
    if (now > seen) {
      seen = now
      since = performance.now()
    }
    if (performance.now() - since > stuckAfter)
      throw new Error(`no row has come for ${stuckAfter / 1000} s: it is stuck`)
    await sleep(50)
  }
}

const pick = (count: number, random: () => number): number => Math.floor(random() * count)

function shuffled(items: string[], random: () => number): string[] {
  for (let index = items.length - 1; index > 0; index--) {
    const other = pick(index + 1, random)
    ;[items[index], items[other]] = [items[other]!, items[index]!]
  }
  return items
}
