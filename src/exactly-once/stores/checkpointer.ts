import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/**
 * Bytes of a log that are worth a checkpoint, as many as SQLite takes by default. Once all of it is in the database, the next commit
 * begins the log anew, and cuts the file down to this (`journal_size_limit`): a larger one has that much to be moved.
 */
export const logLimit: number = 4 * 1024 * 1024

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
  /** It cannot run: SQLite does it itself, within a commit. */
  readonly onFailed: () => void

  /** @param alone runs while nobody of this process writes */
  constructor(database: string, alone: (body: () => Promise<unknown>) => Promise<unknown>, onFailed: () => void) {
    this.#database = database
    this.#alone = alone
    this.onFailed = onFailed
  }

  /** @param bytes of the log */
  grown(bytes: number): void {
    if (bytes <= logLimit || this.#running || this.#closed) return
    this.#running = this.#run()
      .catch(() => {
        this.#closed = true
        this.onFailed()
      })
      .finally(() => (this.#running = undefined))
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
