import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Answer, Command, Job, Progress } from './job.ts'

const program = fileURLToPath(new URL('worker.ts', import.meta.url))
/** No answer of the probe within this is red, ms. */
export const probeTimeout = 1_000

/** What the probe of a worker has seen, from when to when. */
export interface Look {
  readonly at: number
  readonly ready: boolean
  readonly causes: readonly string[]
}

/** One worker process, asked for its health several times a second, as an orchestrator would. */
export class Worker implements AsyncDisposable {
  readonly looks: Look[] = []
  failure: string | undefined
  exitCode: number | null | undefined
  readonly #process: ChildProcess
  readonly #ended: Promise<unknown>
  #stderr = ''
  #port = 0
  #progress: ((progress: Progress) => void) | undefined
  #probing = true

  constructor(job: Job, heap: number | undefined, env: Readonly<Record<string, string>> = {}) {
    this.#process = fork(program, [JSON.stringify(job)], {
      execArgv: ['--disable-warning=ExperimentalWarning', ...(heap ? [`--max-old-space-size=${heap}`] : [])],
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    })
    this.#process.stderr!.on(
      'data',
      (text: Buffer) => (this.#stderr = `${this.#stderr}${text.toString()}`.slice(-2_000))
    )
    this.#process.on('message', (answer: Answer) => {
      if (answer.port) this.#port = answer.port
      if (answer.failed) this.failure = answer.failed
      if (answer.progress) this.#progress?.(answer.progress)
    })
    this.#ended = once(this.#process, 'close').then(([code]) => {
      this.exitCode = code as number | null
      if (code !== 0 && !this.failure) this.failure = `it ended with code ${String(code)}: ${this.#stderr.trim()}`
    })
    void this.#probe()
  }

  get isUp(): boolean {
    return this.exitCode === undefined
  }

  tell(command: Command): void {
    if (this.isUp && this.#process.connected) this.#process.send(command)
  }

  /** `undefined` when it does not answer in time. */
  async ask(): Promise<Progress | undefined> {
    const answered = new Promise<Progress>(resolve => (this.#progress = resolve))
    this.tell({ ask: true })
    return Promise.race([answered, sleep(2_000, undefined)])
  }

  /** SIGTERM; killed when it does not end. @returns its exit code, null when it had to be killed */
  async stop(timeout: number): Promise<number | null> {
    this.#probing = false
    if (this.isUp) this.#process.kill('SIGTERM')
    await Promise.race([this.#ended, sleep(timeout)])
    if (this.isUp) this.#process.kill('SIGKILL')
    await this.#ended
    return this.exitCode ?? null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#probing = false
    if (this.isUp) this.#process.kill('SIGKILL')
    await this.#ended
  }

  async #probe(): Promise<void> {
    while (this.#probing && this.isUp) {
      await sleep(200)
      if (this.#port === 0) continue
      const at = performance.now()
      try {
        const answer = await fetch(`http://127.0.0.1:${this.#port}/ready`, {
          signal: AbortSignal.timeout(probeTimeout)
        })
        const { problems } = (await answer.json()) as { problems: readonly { cause: string }[] }
        this.looks.push({ at, ready: answer.ok, causes: problems.map(({ cause }) => cause) })
      } catch {
        this.looks.push({ at, ready: false, causes: ['no answer'] })
      }
    }
  }
}
