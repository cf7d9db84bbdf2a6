import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Job } from './job.ts'

const program = fileURLToPath(new URL('./worker.ts', import.meta.url))

/** The worker processes of one run: one that has ended before its time is replaced, as by a supervisor. */
export class Workers implements AsyncDisposable {
  /** Ended by themselves, and not well. */
  failures = 0
  readonly #job: Job
  readonly #running: ChildProcess[]
  readonly #finished = new Set<number>()
  readonly #stopped = new Set<number>()
  readonly #restarting = new Set<number>()
  readonly #log: WriteStream
  #closing = false

  constructor(count: number, job: Job) {
    this.#job = job
    this.#log = createWriteStream(join(job.folder, 'workers.log'), { flags: 'a' })
    this.#running = []
    for (let index = 0; index < count; index++) this.#start(index)
  }

  get count(): number {
    return this.#running.length
  }

  /** How many have come to the end of the pipeline. */
  get finished(): number {
    return this.#finished.size
  }

  /** SIGKILL, and a new one in its place. */
  async kill(index: number, pause: number): Promise<void> {
    const victim = this.#running[index]!
    if (!isUp(victim)) return
    const exited = once(victim, 'exit')
    victim.kill('SIGKILL')
    await exited
    await sleep(pause)
  }

  /** SIGSTOP, and SIGCONT after so many ms, unless it was killed meanwhile. */
  async stop(index: number, duration: number): Promise<void> {
    const victim = this.#running[index]!
    if (!isUp(victim) || this.#stopped.has(index)) return
    this.#stopped.add(index)
    victim.kill('SIGSTOP')
    await sleep(duration)
    victim.kill('SIGCONT')
    this.#stopped.delete(index)
  }

  /** SIGTERM; once it has drained and ended, a new one in its place, until that is ready. Rejects when it takes longer than that. */
  async restart(index: number, patience: number): Promise<void> {
    const old = this.#running[index]!
    this.#restarting.add(index)
    old.kill('SIGTERM')
    await until(() => this.#running[index] !== old && isReady.has(this.#running[index]!), patience)
    this.#restarting.delete(index)
  }

  /** All of them are. */
  async ready(patience: number): Promise<void> {
    await until(() => this.#running.every(worker => isReady.has(worker)), patience)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    const left = this.#running.filter(isUp)
    const exits = left.map(worker => once(worker, 'exit'))
    for (const worker of left) worker.kill('SIGKILL')
    await Promise.all(exits)
    this.#log.end()
  }

  #start(index: number): void {
    if (this.#closing) return
    // In the folder of the run, so that what is kept in ./.tidemark/ goes away with it.
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', program, JSON.stringify(this.#job)],
      {
        cwd: this.#job.folder,
        // Sources are compiled once, as in a package that was built: not at each start, while the others are to work.
        env: { ...process.env, NODE_COMPILE_CACHE: join(this.#job.folder, 'compiled') },
        stdio: ['ignore', 'pipe', 'pipe']
      }
    )
    this.#running[index] = child
    child.stdout!.pipe(this.#log, { end: false })
    child.stderr!.pipe(this.#log, { end: false })
    child.stdout!.once('data', () => isReady.add(child))
    child.once('exit', (code, signal) => {
      if (code === 0 && this.#restarting.has(index)) return this.#start(index)
      if (code === 0) {
        this.#finished.add(index)
        return
      }
      if (signal !== 'SIGKILL') this.failures++
      this.#log.write(
        `${new Date().toISOString()} worker ${index}, pid ${child.pid}, ended: ${signal ?? `exit code ${code}`}\n`
      )
      setTimeout(() => this.#start(index), 100)
    })
  }
}

const isReady = new WeakSet<ChildProcess>()
const isUp = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

async function until(isSo: () => boolean, patience: number): Promise<void> {
  for (const deadline = performance.now() + patience; !isSo(); await sleep(20))
    if (performance.now() > deadline) throw new Error(`a worker was not ready within ${patience / 1_000} s`)
}
