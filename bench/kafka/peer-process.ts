import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { processCpu } from '../worker/index.ts'

const patience = 120_000

/** A framework in a process of its own that runs the topologies of the bench, one after the other, as it is told. */
export class PeerProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #heard = new Map<string, PromiseWithResolvers<void>>()
  readonly #failure = Promise.withResolvers<never>()
  #errors = ''

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    createInterface({ input: this.#child.stdout! }).on('line', word => this.#wait(word).resolve())
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = `${this.#errors}${text}`.slice(-4_000)
    })
    // That it is gone is told by its exit.
    this.#child.stdin!.on('error', () => {})
    this.#failure.promise.catch(() => {})
    this.#child.once('exit', code => this.#fail(`ended with status ${code}`))
    this.#child.once('error', error => this.#fail(error.message))
  }

  /** Rejects when the process ends before it is told to, or does not answer, with what it has written to its errors. */
  get failed(): Promise<never> {
    return this.#failure.promise
  }

  /** Starts a topology, and resolves when it has seen its first record. */
  async start(topology: 'map' | 'count', id: string, from: string, to: string): Promise<void> {
    this.#heard.clear()
    this.#child.stdin!.write(`${topology} ${id} ${from} ${to}\n`)
    await this.#said('first')
  }

  async stop(): Promise<void> {
    this.#child.stdin!.write('stop\n')
    await this.#said('stopped')
  }

  /** Processor time of the process so far, in seconds; NaN where the system does not tell. */
  async cpuSeconds(): Promise<number> {
    return processCpu(this.#child.pid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }

  #wait(word: string): PromiseWithResolvers<void> {
    const waiting = this.#heard.get(word) ?? Promise.withResolvers<void>()
    this.#heard.set(word, waiting)
    return waiting
  }

  async #said(word: string): Promise<void> {
    const late = setTimeout(() => this.#fail(`did not say '${word}' within ${patience} ms`), patience)
    try {
      await Promise.race([this.#wait(word).promise, this.failed])
    } finally {
      clearTimeout(late)
    }
  }

  #fail(what: string): void {
    this.#failure.reject(new Error(`the peer ${what}:\n${this.#errors}`))
  }
}
