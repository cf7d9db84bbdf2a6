/** Real workers on one file, and what is done to them. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isLocked } from '../../src/testing/conformance/index.ts'
import { now, Observer, type Message, type Verdict, type Word } from './history.ts'

export type BatteryEvent = 'join' | 'leave' | 'kill' | 'stop'

const script = fileURLToPath(new URL('./worker.ts', import.meta.url))

interface Worker {
  readonly name: string
  readonly child: ChildProcess
  readonly messages: Message[]
}

export interface BatteryReport extends Verdict {
  readonly events: number
  readonly refused: number
  /** Commits of stopped workers that came too late, all refused. */
  readonly late: number
  /** The longest time from an event until all was even again, ms. */
  readonly slowest: number
}

export class Battery {
  readonly session: number
  readonly #path: string
  readonly #partitions: number
  readonly #living: Worker[] = []
  readonly #releases: Record<string, number> = {}
  #observer: Observer | undefined
  #started = 0
  #events = 0
  /** The last event has come to rest: everybody has a share. */
  #digested = true
  #refused = 0
  #late = 0
  #slowest = 0

  constructor(path: string, partitions: number, session: number) {
    this.#path = path
    this.#partitions = partitions
    this.session = session
  }

  get size(): number {
    return this.#living.length
  }

  /** Several at once, as in a deployment. */
  async start(count: number): Promise<void> {
    const started = Array.from({ length: count }, () => this.#spawn())
    await Promise.all(started.map(worker => this.#heard(worker, 'ready')))
    this.#observer ??= new Observer(this.#path, this.#partitions)
    await this.#even()
  }

  /** @param pick which of the workers; @param wait until all is even again */
  async perform(event: BatteryEvent, pick: number, wait = true): Promise<void> {
    this.#events++
    const worker = this.#living[pick % this.#living.length]!
    if (event === 'join') await this.#heard(this.#spawn(), 'ready')
    else if (event === 'stop') return this.#stopAndGoOn(worker)
    else {
      this.#living.splice(this.#living.indexOf(worker), 1)
      if (event === 'kill') worker.child.kill('SIGKILL')
      else await this.#leave(worker)
      if (this.#living.length === 0) await this.#heard(this.#spawn(), 'ready')
    }
    this.#digested = wait
    if (wait) await this.#even()
  }

  /** Everybody leaves; then the whole history is judged. */
  async finish(): Promise<BatteryReport> {
    await this.#even()
    while (this.#living.length > 1) await this.perform('leave', 0)
    await this.#leave(this.#living.splice(0)[0]!)
    const verdict = this.#observer!.judge(this.#releases)
    return { ...verdict, events: this.#events, refused: this.#refused, late: this.#late, slowest: this.#slowest }
  }

  /** Whatever happened: nothing of it goes on. */
  async dispose(): Promise<void> {
    for (const { child } of this.#living.splice(0)) {
      const gone = child.exitCode !== null || child.signalCode !== null ? undefined : once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }
    this.#observer?.close()
  }

  async #leave(worker: Worker): Promise<void> {
    const exited = once(worker.child, 'exit')
    this.#say(worker, 'leave')
    const { refused, releases } = await this.#heard(worker, 'left')
    this.#refused += refused
    Object.assign(this.#releases, releases)
    const [code] = await exited
    if (code !== 0) throw new Error(`${worker.name} left with ${code}`)
  }

  #say({ child }: Worker, word: Word): void {
    child.send(word)
  }

  /** Stopped for two sessions: the others have its partitions by then, and what it still wants to commit is refused. */
  async #stopAndGoOn(worker: Worker): Promise<void> {
    const alone = this.#living.length === 1
    await this.#stopOutsideWrites(worker)
    const stoppedAt = now()
    if (!alone) await this.#even(this.#living.filter(other => other !== worker))
    await sleep(Math.max(0, stoppedAt + 2 * this.session - now()))
    this.#say(worker, { stoppedAt })
    worker.child.kill('SIGCONT')
    const { tried, refused } = await this.#heard(worker, 'late')
    // One that has come a moment ago may have got nothing yet.
    if (tried === 0 && this.#digested) throw new Error(`${worker.name} had nothing in its hands when it was stopped`)
    if (refused !== (alone ? 0 : tried)) throw new Error(`${refused} of ${tried} late commits were refused`)
    worker.messages.length = 0
    this.#late += refused
    await this.#even()
    this.#digested = true
  }

  /** One that is stopped in the middle of a write keeps the lock of the file, and all others would wait for it. */
  async #stopOutsideWrites({ child, name }: Worker): Promise<void> {
    for (let attempt = 0; attempt < 500; attempt++) {
      child.kill('SIGSTOP')
      if (!(await isLocked(this.#path))) return
      child.kill('SIGCONT')
      await sleep(7)
    }
    throw new Error(`${name} was inside of a write each time it was stopped`)
  }

  /** A session until a silent one is seen to be gone; the rest is for a slow machine. */
  async #even(workers: readonly Worker[] = this.#living): Promise<void> {
    const began = performance.now()
    const names = workers.map(({ name }) => name)
    for (;;) {
      const uneven = this.#observer!.uneven(names)
      const took = performance.now() - began
      if (uneven === undefined) {
        this.#slowest = Math.max(this.#slowest, took)
        return
      }
      if (took > 2 * this.session + 10_000) throw new Error(`not even after ${Math.round(took)} ms: ${uneven}`)
      await sleep(20)
    }
  }

  #spawn(): Worker {
    const name = `w${++this.#started}`
    const given = [this.#path, name, `${this.#partitions}`, `${this.session}`]
    const child = fork(script, given, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const messages: Message[] = []
    child.on('message', message => messages.push(message as Message))
    const worker = { name, child, messages }
    this.#living.push(worker)
    return worker
  }

  async #heard<Kind extends Message['kind']>(
    { child, messages, name }: Worker,
    kind: Kind
  ): Promise<Extract<Message, { kind: Kind }>> {
    for (const deadline = performance.now() + 20_000; performance.now() < deadline;) {
      const found = messages.find((message): message is Extract<Message, { kind: Kind }> => message.kind === kind)
      if (found) return found
      if (child.exitCode !== null && child.exitCode !== 0) break
      await Promise.race([once(child, 'message'), sleep(1_000)])
    }
    throw new Error(`${name} did not say '${kind}', exit code ${child.exitCode}`)
  }
}
