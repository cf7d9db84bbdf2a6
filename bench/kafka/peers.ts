import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Client } from '../../src/index.ts'
import { kafkaAvailable, startKafka } from '../../testcontainers/kafka.ts'
import type { Bench, Skip } from '../bench.ts'
import { progress, sideBySide, type Figure, type Run } from '../measure.ts'
import { process, produce, recount } from '../ours.ts'
import { byteTopic, fresh } from '../records.ts'
import { committedEnd } from './committed-end.ts'
import type { PeerProcess } from './peer-process.ts'
import { kafkaStreams, quixStreams, type Peer } from './peer-programs.ts'
import { rawKafka } from './raw.ts'

/** One topology with so many distinct keys, beside one framework. */
interface Contest {
  readonly figure: string
  readonly topology: 'map' | 'count'
  readonly peer: Peer
  readonly keys: number
}

const contests: readonly Contest[] = [
  { figure: 'map, beside Kafka Streams', topology: 'map', peer: kafkaStreams, keys: 10_000 },
  { figure: 'count, beside Kafka Streams', topology: 'count', peer: kafkaStreams, keys: 10_000 },
  { figure: 'count of 100,000 keys, beside Kafka Streams', topology: 'count', peer: kafkaStreams, keys: 100_000 },
  { figure: 'count of 1,000,000 keys, beside Kafka Streams', topology: 'count', peer: kafkaStreams, keys: 1_000_000 },
  { figure: 'map, beside Quix Streams', topology: 'map', peer: quixStreams, keys: 10_000 },
  { figure: 'count, beside Quix Streams', topology: 'count', peer: quixStreams, keys: 10_000 }
]

/**
 * Frameworks that do what ours does, on the same Kafka: the same input topic, exactly once, commits of 100 ms, one thread of one
 * process. The output of each run is counted again.
 */
export const peers: Bench = {
  figures: contests.map(({ figure }) => figure),
  reason: kafkaAvailable,
  async run(wanted, quick, skip) {
    await using server = await startKafka({ heap: '768m' })
    await using client = await connect({ brokers: { default: server.url }, variables: {} })
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-peers-'))
    const bench = new Peers(client, server.url, folder, quick)
    try {
      return await bench.all(
        contests.filter(({ figure }) => wanted(`peers ${figure}`)),
        skip
      )
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

class Peers {
  readonly #client: Client
  readonly #servers: string
  readonly #folder: string
  readonly #quick: boolean
  /** Number of keys -> a topic that is full of them, for every contest. */
  readonly #inputs = new Map<number, ReturnType<typeof byteTopic>>()

  constructor(client: Client, url: string, folder: string, quick: boolean) {
    this.#client = client
    this.#servers = new URL(url).host
    this.#folder = folder
    this.#quick = quick
  }

  async all(wanted: readonly Contest[], skip: Skip): Promise<Figure[]> {
    const figures: Figure[] = []
    for (const peer of [kafkaStreams, quixStreams]) {
      const own = wanted.filter(contest => contest.peer === peer)
      if (own.length === 0) continue
      const reason = await peer.missing()
      if (reason) {
        for (const { figure } of own) skip(`peers ${figure}`, reason)
        continue
      }
      progress(`peers: getting ${peer.title} ${peer.version} ready`)
      await using program = await peer.start(this.#servers, this.#folder)
      for (const contest of own) {
        progress(`peers ${contest.figure}: warming up`)
        figures.push(await this.#contest(contest, program))
      }
    }
    return figures
  }

  async #contest({ figure, topology, keys }: Contest, program: PeerProcess): Promise<Figure> {
    const stateful = topology === 'count'
    const count = this.#quick ? 50_000 : Math.max(300_000, keys)
    const ours = async (): Promise<Run> =>
      process(this.#client, await this.#input(keys, count), await this.#topic('own-out'), count, stateful, { keys })
    const theirs = async (): Promise<Run> => this.#timed(program, topology, await this.#input(keys, count), count, keys)
    // A framework in Java is compiled while it runs: what comes first is not counted, on either side.
    await theirs()
    await ours()
    return sideBySide(`peers ${figure}`, this.#quick ? 1 : 5, ours, theirs)
  }

  async #timed(
    program: PeerProcess,
    topology: 'map' | 'count',
    from: ReturnType<typeof byteTopic>,
    count: number,
    keys: number
  ): Promise<Run> {
    const to = await this.#topic('peer-out')
    await program.start(topology, fresh('peer'), from.name, to.name)
    const [start, cpu] = [performance.now(), await program.cpuSeconds()]
    const end = await Promise.race([committedEnd(await rawKafka(this.#servers), to.name, count), program.failed])
    const cpuSeconds = (await program.cpuSeconds()) - cpu
    await program.stop()
    await recount(this.#client, to, count, topology === 'count', keys)
    return { records: count, seconds: (end - start) / 1e3, cpuSeconds }
  }

  async #input(keys: number, count: number): Promise<ReturnType<typeof byteTopic>> {
    const there = this.#inputs.get(keys)
    if (there) return there
    const topic = await this.#topic('in')
    await produce(this.#client, topic, count, { keys })
    this.#inputs.set(keys, topic)
    return topic
  }

  async #topic(name: string): Promise<ReturnType<typeof byteTopic>> {
    const topic = byteTopic(fresh(name))
    await this.#client.admin.create(topic)
    return topic
  }
}
