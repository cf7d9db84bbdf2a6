import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Answer, Job } from './job.ts'

export type { Job } from './job.ts'

const script = fileURLToPath(new URL('./main.ts', import.meta.url))
const patience = 120_000

/** Bytes of a worker after its garbage was collected. */
export type WorkerMemory = Omit<Extract<Answer, { type: 'memory' }>, 'type'>

/** A pipeline in a process of its own. */
export class Worker implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #tasks = new Set<string>()
  readonly #followed = new Set<string>()

  constructor(job: Job) {
    this.#child = fork(script, [JSON.stringify(job)], {
      execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
    this.#child.on('message', (answer: Answer) => {
      if (answer.type === 'assigned') this.#tasks.add(answer.task)
      if (answer.type === 'followed') this.#followed.add(answer.task)
    })
  }

  /** Tasks that were given to it so far. */
  get tasks(): number {
    return this.#tasks.size
  }

  /** Resolves when it has had so many tasks. */
  async assigned(tasks: number): Promise<void> {
    await this.#until(() => this.#tasks.size >= tasks, `did not get its ${tasks} tasks`)
  }

  /** Resolves when its standby has come to the end of so many changelogs. */
  async followed(tasks: number): Promise<void> {
    await this.#until(() => this.#followed.size >= tasks, `did not follow ${tasks} tasks`)
  }

  async memory(): Promise<WorkerMemory> {
    let memory: WorkerMemory | undefined
    const take = (answer: Answer): void => {
      if (answer.type === 'memory') memory = answer
    }
    this.#child.on('message', take)
    this.#child.send('memory')
    await this.#until(() => memory !== undefined, 'did not answer')
    this.#child.off('message', take)
    return memory!
  }

  /** Processor time so far, in seconds; NaN where the system does not tell. */
  async cpuSeconds(): Promise<number> {
    return processCpu(this.#child.pid)
  }

  /** As a crash would. */
  async kill(): Promise<void> {
    await this.#end(() => this.#child.kill('SIGKILL'))
  }

  /** Commits, leaves the group and ends. */
  async stop(): Promise<void> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 30_000)
    await this.#end(() => this.#child.connected && this.#child.send('stop'))
    clearTimeout(late)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  get #gone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async #end(how: () => unknown): Promise<void> {
    if (this.#gone) return
    const exit = once(this.#child, 'exit')
    how()
    await exit
  }

  async #until(isSo: () => boolean, otherwise: string): Promise<void> {
    const late = AbortSignal.timeout(patience)
    while (!isSo()) {
      if (this.#gone) throw new Error(`a worker ended with status ${this.#child.exitCode ?? this.#child.signalCode}`)
      if (late.aborted) throw new Error(`a worker ${otherwise} within ${patience} ms`)
      // What is not waited for any longer must not stay as a listener.
      const done = new AbortController()
      const signal = AbortSignal.any([late, done.signal])
      const heard = [once(this.#child, 'message', { signal }), once(this.#child, 'exit', { signal })]
      await Promise.race(heard).catch(() => {})
      done.abort()
    }
  }
}

/** Processor time of a process so far, user and system, in seconds; NaN where the system does not tell. */
export async function processCpu(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name, which may hold spaces, ends with the bracket; the 14th and 15th field are in hundredths of a second.
  const fields = status.slice(status.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
