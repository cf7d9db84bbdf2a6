import { once } from 'node:events'
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Settings } from './settings.ts'

const program = fileURLToPath(new URL('worker.ts', import.meta.url))

/** The worker processes of one run. */
export class Workers {
  /** Resolves when every one has ended well; rejects when one has failed by itself. */
  readonly ended: Promise<unknown>
  readonly #settings: Settings
  readonly #running: ChildProcess[]
  /** Those whose end is our own doing. */
  readonly #killed = new Set<ChildProcess>()

  constructor(count: number, settings: Settings) {
    this.#settings = settings
    this.#running = Array.from({ length: count }, () => this.#start())
    this.ended = Promise.all(this.#running.map((_, index) => this.#watch(index)))
    this.ended.catch(() => {}) // whoever waits for it will hear of it
  }

  /** SIGKILL: it gets no chance to say goodbye. Then a new one takes its place. Gives the old and the new process id. */
  async killAndRestart(index: number): Promise<[killed: number | undefined, started: number | undefined]> {
    const victim = this.#running[index]!
    if (victim.exitCode !== null) throw new Error('the run was over before a worker could be killed: lower its --rate')
    this.#killed.add(victim)
    const exit = once(victim, 'exit')
    victim.kill('SIGKILL')
    this.#running[index] = this.#start()
    await exit
    return [victim.pid, this.#running[index].pid]
  }

  /** Ends those that are left, at once. */
  async stop(): Promise<void> {
    const left = this.#running.filter(worker => worker.exitCode === null && worker.signalCode === null)
    const exits = left.map(worker => once(worker, 'exit'))
    for (const worker of left) {
      this.#killed.add(worker)
      worker.kill('SIGKILL')
    }
    await Promise.all(exits)
  }

  #start(): ChildProcess {
    // In the folder of the run, so that what tidemark keeps in ./.tidemark/ goes away with it.
    const args = [program, JSON.stringify(this.#settings)]
    return spawn(process.execPath, args, { cwd: this.#settings.folder, stdio: ['ignore', 'inherit', 'inherit'] })
  }

  async #watch(index: number): Promise<void> {
    for (;;) {
      const worker = this.#running[index]!
      const [code, signal] = await once(worker, 'exit')
      if (this.#killed.has(worker)) {
        if (worker === this.#running[index]) return
        continue
      }
      if (code !== 0) throw new Error(`a worker failed with ${signal ?? `exit code ${code}`}`)
      return
    }
  }
}
