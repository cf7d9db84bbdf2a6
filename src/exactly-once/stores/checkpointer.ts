import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Environment } from '../../core/environment.ts'

/** Bytes of a log that are worth a checkpoint, as many as SQLite takes by default. */
export const logLimit: number = 4 * 1024 * 1024
/**
 * Once all of it is in the database, the next commit begins the log anew, in a file that stays as large as it was up to this: to cut
 * it down takes tens of milliseconds.
 */
export const fileLimit: number = 64 * 1024 * 1024
/** Between two checkpoints, ms: the size of the file does not tell how much of it is new. */
const pause = 250

/** Runs in a thread of its own: a checkpoint writes and syncs for tens of milliseconds. As text, so that no bundler has to find it. */
const program = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { DatabaseSync } = require('node:sqlite')
  const database = new DatabaseSync(workerData)
  const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
  parentPort.on('message', isEnd => {
    if (!isEnd) return parentPort.postMessage(checkpoint.get())
    database.close()
    parentPort.close()
  })
`

/** What SQLite says of a checkpoint: pages in the log, and those of them that are in the database. */
interface Progress {
  readonly log: number
  readonly checkpointed: number
}

/**
 * Moves the pages of a write-ahead log into the database, so that the log begins anew and stays small. Twice in a row: most of
 * it while others write, the rest while they wait in their queue.
 */
export class Checkpointer {
  readonly #database: string
  readonly #alone: (body: () => Promise<unknown>) => Promise<unknown>
  #worker: Worker | undefined
  #running: Promise<void> | undefined
  #closed = false
  #last = -Infinity
  readonly #environment: Environment
  /** It cannot run: SQLite does it itself, within a commit. */
  readonly onFailed: () => void

  /** @param alone runs while nobody of this process writes */
  constructor(
    database: string,
    environment: Environment,
    alone: (body: () => Promise<unknown>) => Promise<unknown>,
    onFailed: () => void
  ) {
    this.#database = database
    this.#environment = environment
    this.#alone = alone
    this.onFailed = onFailed
  }

  /** @param bytes of the log */
  grown(bytes: number): void {
    if (bytes <= logLimit || this.#running || this.#closed) return
    if (this.#environment.monotonic() - this.#last < pause) return
    this.#running = this.#run()
      .catch(() => {
        this.#closed = true
        this.onFailed()
      })
      .finally(() => {
        this.#running = undefined
        this.#last = this.#environment.monotonic()
      })
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#running
    if (!this.#worker) return
    const ended = once(this.#worker, 'exit')
    this.#worker.ref()
    this.#worker.postMessage(true)
    await ended
  }

  async #run(): Promise<void> {
    const { log, checkpointed } = await this.#ask()
    if (checkpointed < log) await this.#alone(() => this.#ask())
  }

  async #ask(): Promise<Progress> {
    const worker = (this.#worker ??= this.#start())
    // While somebody waits for it, it keeps the process; else it does not.
    worker.ref()
    try {
      worker.postMessage(false)
      const [answer] = (await once(worker, 'message')) as [Progress]
      return answer
    } finally {
      worker.unref()
    }
  }

  #start(): Worker {
    const worker = new Worker(program, {
      eval: true,
      workerData: this.#database,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      name: 'tidemark checkpoints'
    })
    // What goes wrong in it is met by whoever asks.
    worker.on('error', () => (this.#worker = undefined))
    return worker
  }
}
