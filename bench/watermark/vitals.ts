import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memory, MemoryBroker } from '../../src/adapters/memory/index.ts'
import { systemEnvironment } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import { noHeaders } from '../../src/core/record.ts'
import { connect } from '../../src/index.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import { encodeVitals, noCounts, vitalsTopic } from '../../src/watermark/index.ts'
import { sideBySide, type Figure, type Run } from '../measure.ts'
import { process, produce } from '../ours.ts'
import { byteTopic, fresh, partitions } from '../records.ts'

/** Reports a second of the run itself: each of its tasks says how it is once. */
const usualRate = partitions

export const disasters = ['topic deleted', 'broker killed', 'flooded'] as const
type Disaster = (typeof disasters)[number]

/** How fast a processor on the embedded log is while its vitals, on a broker of their own, are destroyed, beside the same undisturbed. */
export async function benchVitals(records: number, pairs: number, disaster: Disaster): Promise<Figure> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  try {
    const from = byteTopic(fresh('in'))
    await using source = await connect({ brokers: { default: `file:${folder}` }, variables: {} })
    await produce(source, from, records)
    const run = async (disturb: (vitals: MortalBroker) => () => void): Promise<Run> => {
      const vitals = new MortalBroker()
      await using client = await connect({
        brokers: { default: `file:${folder}`, vitals: vitals.adapter },
        topics: { [vitalsTopic]: { broker: 'vitals' } },
        variables: {}
      })
      return await whileRunning(
        () => disturb(vitals),
        () => process(client, from, byteTopic(fresh('out')), records, false)
      )
    }
    const name = `watermark vitals destroyed, ${disaster}`
    return await sideBySide(
      name,
      pairs,
      () => run(ways[disaster]),
      () => run(() => () => {})
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** From the first commit on: then everything has been announced, and the clock runs. */
async function whileRunning(disturb: () => () => void, run: () => Promise<Run>): Promise<Run> {
  let end: (() => void) | undefined
  const onCommit = (): void => void (end ??= disturb())
  subscribe('tidemark:commit', onCommit)
  try {
    return await run()
  } finally {
    unsubscribe('tidemark:commit', onCommit)
    end?.()
  }
}

const ways: Readonly<Record<Disaster, (vitals: MortalBroker) => () => void>> = {
  'topic deleted': vitals => every(500, () => vitals.deleteTopic()),
  'broker killed': vitals => {
    vitals.isDead = true
    return () => (vitals.isDead = false)
  },
  flooded: vitals => every(100, () => vitals.flood(usualRate))
}

function every(milliseconds: number, task: () => unknown): () => void {
  task()
  const timer = setInterval(task, milliseconds)
  return () => clearInterval(timer)
}

/** Carries the vitals, and can be killed. */
class MortalBroker {
  readonly adapter: AnyAdapter
  isDead = false
  readonly #broker = new MemoryBroker()
  #reports = 0

  constructor() {
    const inner = memory({ broker: this.#broker })
    this.adapter = {
      ...inner,
      open: environment => inner.open(environment),
      classify: error => inner.classify(error),
      close: () => inner.close(),
      producer: async () => this.#mortal(await inner.producer()),
      partitionReader: async options => this.#mortal(await inner.partitionReader!(options)),
      admin: () => this.#mortal(inner.admin())
    }
  }

  deleteTopic(): void {
    void memoryAdmin(this.#broker, admin => admin.deleteTopic(vitalsTopic))
  }

  /** As many reports as the run makes in a second, ten times a second, of tasks that nobody waits for. */
  async flood(count: number): Promise<void> {
    const adapter = memory({ broker: this.#broker })
    await adapter.open(systemEnvironment)
    const producer = await adapter.producer()
    const records = Array.from({ length: count }, (_, index) => {
      const id = Buffer.from(`flood-${index}`.padEnd(16, '.'))
      const value = encodeVitals({
        ...{ producer: id.toString('latin1'), task: `flood/flood/${index}`, durable: true, state: 'active' },
        ...{ watermark: 0, outputs: new Map(), counts: noCounts, commit: 0, beat: ++this.#reports }
      })
      const rest = { headers: noHeaders, stamp: undefined, timestamp: systemEnvironment.now() }
      return { topic: vitalsTopic, partition: 0, key: id, value, ...rest }
    })
    await producer.send(records)
    await producer.close()
    await adapter.close()
  }

  /** Its calls fail while the broker is dead. */
  #mortal<Target extends object>(target: Target): Target {
    return new Proxy(target, {
      get: (_, name) => {
        const member = Reflect.get(target, name, target) as unknown
        if (typeof member !== 'function') return member
        return (...given: unknown[]) => {
          if (this.isDead && name !== 'close')
            return Promise.reject(
              new StreamError('connection', 'the broker of the vitals is dead', { retryable: true })
            )
          return Reflect.apply(member, target, given) as unknown
        }
      }
    })
  }
}

async function memoryAdmin(
  broker: MemoryBroker,
  call: (admin: ReturnType<AnyAdapter['admin']>) => Promise<unknown>
): Promise<void> {
  const adapter = memory({ broker })
  await adapter.open(systemEnvironment)
  await call(adapter.admin()).catch(() => {}) // it is gone already
  await adapter.close()
}
