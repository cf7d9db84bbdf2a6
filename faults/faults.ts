import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Target } from '../chaos/servers.ts'
import { startGuardedKafka, type Guarded } from './guarded-kafka.ts'
import type { Worker } from './worker-process.ts'

/** Where a fault happens: the server, the network before it, the disk, the worker. */
export interface Scene {
  readonly backend: string
  readonly broker: Target
  readonly worker: Worker
  /** How long the fault lasts, ms. */
  readonly duration: number
  /** Of a fault with a server of its own. */
  readonly guarded: Guarded | undefined
  /** Folder of the data, on a disk of its own that can be full; absent where none can be made. */
  readonly disk: string | undefined
}

export interface Fault {
  readonly name: string
  /**
   * What health has to show while it lasts. `red`: within the time that its limits give, and until the end. `green`: all the
   * while. `either`: what gets through is enough, or is not.
   */
  readonly health: 'red' | 'green' | 'either'
  /** Of the worker. */
  readonly job?: (backend: string) => { readonly payload?: number; readonly slowSink?: number; readonly batch?: number }
  /** A server of its own, in place of that of the backend. */
  readonly server?: () => Promise<Guarded>
  /** Records that have to be parked, each once. */
  readonly parked?: number
  /** Most memory of the worker's heap, MiB. */
  readonly heap?: number
  /** Why it cannot be shown on a backend; undefined when it can. */
  notHere(scene: Place): string | undefined
  /** Begins it. What it gives ends it. */
  begin(scene: Scene): Promise<() => Promise<void>>
}

type Place = Pick<Scene, 'backend' | 'broker' | 'disk'>

const everywhere = (): undefined => undefined
const needsNetwork = ({ backend, broker }: Place): string | undefined =>
  broker.proxy ? undefined : `${backend} has no server and no network`

const ofHandler =
  (handler: 'throws' | 'hangs' | 'blocks') =>
  async ({ worker }: Scene): Promise<() => Promise<void>> => {
    worker.tell({ handler })
    return async () => worker.tell({ handler: 'works' })
  }

/** Writes a disk full to the last byte. What it gives makes room again. */
export async function fillUp(disk: string): Promise<() => Promise<void>> {
  const path = join(disk, 'filler')
  const filler = await open(path, 'w')
  try {
    for (const size of [1 << 20, 1 << 14, 1 << 10])
      for (;;)
        if ((await filler.write(Buffer.alloc(size)).catch(() => ({ bytesWritten: 0 }))).bytesWritten < size) break
  } finally {
    await filler.close().catch(() => {})
  }
  return () => rm(path)
}

const anHour = 3_600_000

export const faults: readonly Fault[] = [
  {
    name: 'broker down',
    health: 'red',
    notHere: needsNetwork,
    async begin({ broker }) {
      // Where the server would forget its data, it is out of reach instead.
      if (broker.outage) return broker.outage()
      broker.proxy!.cut()
      return async () => broker.proxy!.restore()
    }
  },
  {
    name: 'cut mid-frame',
    health: 'either',
    notHere: needsNetwork,
    async begin({ broker }) {
      const proxy = broker.proxy!
      let chunks = 0
      proxy.judge = () => (++chunks % 40 === 0 ? 'half' : 'pass')
      return async () => {
        proxy.judge = undefined
      }
    }
  },
  {
    name: 'slow broker',
    health: 'green',
    notHere: needsNetwork,
    async begin({ broker, duration }) {
      broker.proxy!.delay = duration / 100
      return async () => {
        broker.proxy!.delay = 0
      }
    }
  },
  {
    name: 'disk full',
    health: 'red',
    notHere: ({ backend, disk }) =>
      backend !== 'file'
        ? `the data of ${backend} is not on a disk of the worker`
        : disk === undefined
          ? 'no disk of a few megabytes can be mounted here (it takes root on Linux)'
          : undefined,
    begin({ disk }) {
      return fillUp(disk!)
    }
  },
  {
    name: 'permission revoked',
    health: 'red',
    notHere: ({ backend }) =>
      backend === 'kafka'
        ? undefined
        : ['memory', 'file'].includes(backend)
          ? `${backend} knows no rights`
          : `the server that stands for ${backend} here lets everybody do everything`,
    server: startGuardedKafka,
    begin: ({ guarded }) => guarded!.revoke()
  },
  { name: 'handler throws', health: 'red', notHere: everywhere, begin: ofHandler('throws') },
  { name: 'handler hangs', health: 'red', notHere: everywhere, begin: ofHandler('hangs') },
  { name: 'event loop blocked', health: 'red', notHere: everywhere, begin: ofHandler('blocks') },
  {
    name: 'poison in a batch',
    health: 'green',
    parked: 20,
    notHere: everywhere,
    async begin({ worker }) {
      worker.tell({ poison: 20 })
      return async () => {}
    }
  },
  {
    name: 'memory limit',
    health: 'green',
    // Kinesis takes a megabyte a second and shard: what is more would wait before it for as long as it takes, in the store.
    job: backend => ({ payload: 8_192, batch: backend === 'kinesis' ? 5 : 100, slowSink: 20 }),
    heap: 192,
    notHere: ({ backend }) => (backend === 'memory' ? 'the broker itself is in the memory of the worker' : undefined),
    begin: async () => async () => {}
  },
  {
    name: 'clock jump',
    health: 'green',
    notHere: everywhere,
    async begin({ worker }) {
      worker.tell({ clockAhead: anHour })
      return async () => worker.tell({ clockAhead: 0 })
    }
  }
]
