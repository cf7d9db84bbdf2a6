/**
 * `npm run example stock-signal`: six services over three brokers, one process each. Somebody asks twice a second whether to buy
 * or sell, and gets a signal with its timeliness. Then the hops get into trouble, one after the other: each time, the last one
 * names the culprit and withholds its signal.
 *
 * `--summary` prints no signals. `BROKERS=kafka,pubsub,kinesis` takes real servers.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, headerText, withheldHeaders, type Client } from 'tidemark'
import { openBrokers } from './brokers.ts'
import { questions, services, signals, topics, withheld, type Mood, type Signal } from './hops.ts'

/** How long is waited for the next thing to happen, ms. */
const patience = 40_000
const symbols = ['SP500', 'AAPL', 'AMZN', 'GOOG', 'IBM', 'MSFT']
const well: Mood = { takes: 0, failsEach: 0, lateEach: 0 }

interface Fault {
  readonly what: string
  readonly hop: string
  /** Nothing: the hop is killed. */
  readonly mood?: Partial<Mood>
  /** What the last hop should say. */
  readonly culprit: string
  /** Shares are those of the last half minute or more, so they stay for a while. */
  readonly lingers?: boolean
}

const faults: readonly Fault[] = [
  { what: 'slowed', hop: 'average', mood: { takes: 200 }, culprit: 'research/average: slow' },
  { what: 'stopped', hop: 'momentum', culprit: 'analysis/momentum: silent' },
  { what: 'sends late data', hop: 'ticker', mood: { lateEach: 10 }, culprit: 'exchange/ticker: late', lingers: true },
  {
    what: 'fails 5 % of records',
    hop: 'risk',
    mood: { failsEach: 20 },
    culprit: 'compliance/risk: failing',
    lingers: true
  }
]

/** What the last hop says to each question. */
type Answer = { readonly signal: Signal } | { readonly reason: string; readonly culprit: string }

class Demonstration {
  readonly #client: Client
  readonly #hops = new Map<string, ChildProcess>()
  readonly #start: (name: string) => ChildProcess
  readonly #print: boolean
  readonly #over = new AbortController()
  #listeners: ((answer: Answer) => void)[] = []
  #background: Promise<unknown> = Promise.resolve()

  constructor(client: Client, start: (name: string) => ChildProcess, print: boolean) {
    this.#client = client
    this.#start = start
    this.#print = print
  }

  async run(): Promise<boolean> {
    for (const topic of [questions, signals, withheld]) await this.#client.admin.ensure(topic)
    this.#background = Promise.allSettled([this.#ask(), this.#readSignals(), this.#readWithheld()])
    // From the end to the start: who reads a queue must be there before who writes to it.
    for (const name of Object.keys(services(well)).reverse()) this.#hops.set(name, this.#start(name))
    await this.#until('a signal', answer => 'signal' in answer)
    console.log('all is well: signals are given')
    let ok = true
    for (const fault of faults) ok = (await this.#suffer(fault)) && ok
    console.log(ok ? `verified: ${faults.length} faults, ${faults.length} culprits named` : 'NOT verified')
    return ok
  }

  async stop(): Promise<void> {
    this.#over.abort()
    for (const hop of this.#hops.values()) hop.kill('SIGKILL')
    await this.#background
  }

  async #suffer({ what, hop, mood, culprit, lingers }: Fault): Promise<boolean> {
    const child = this.#hops.get(hop)!
    const started = performance.now()
    if (mood) child.send({ ...well, ...mood })
    else child.kill('SIGKILL')
    try {
      await this.#until(culprit, answer => 'culprit' in answer && answer.culprit === culprit)
    } catch (error) {
      console.log(`${hop} ${what}: ${(error as Error).message}`)
      return false
    }
    console.error(`named after ${((performance.now() - started) / 1000).toFixed(1)} s`)
    console.log(`${hop} ${what}: the signal is withheld, because of ${culprit}`)
    if (mood) child.send(well)
    else this.#hops.set(hop, this.#start(hop))
    if (lingers) return true
    await this.#until('a signal', answer => 'signal' in answer)
    console.log(`${hop} is well again: signals are given`)
    return true
  }

  /** Waits for an answer of the last hop. */
  async #until(what: string, isIt: (answer: Answer) => boolean): Promise<void> {
    let last = 'nothing'
    const found = new Promise<void>(resolve =>
      this.#listeners.push(answer => {
        last = 'signal' in answer ? 'a signal' : `${answer.culprit || 'nobody'} (${answer.reason})`
        if (isIt(answer)) resolve()
      })
    )
    const enough = new AbortController()
    const tooLong = sleep(patience, undefined, { signal: enough.signal }).then(() => {
      throw new Error(`no ${what} within ${patience / 1000} s; the last answer was ${last}`)
    })
    await Promise.race([found, tooLong]).finally(() => {
      this.#listeners = []
      enough.abort()
    })
    tooLong.catch(() => {})
  }

  #hear(line: string, answer: Answer): void {
    if (this.#print) console.log(line)
    for (const listener of this.#listeners) listener(answer)
  }

  async #ask(): Promise<void> {
    const { signal } = this.#over
    await using producer = await this.#client.producer(questions)
    for (let number = 1; !signal.aborted; number++) {
      const symbol = symbols[number % symbols.length]!
      await producer.send({ key: symbol, value: { symbol, number } })
      await sleep(500, undefined, { signal }).catch(() => {})
    }
  }

  async #readSignals(): Promise<void> {
    const { signal } = this.#over
    for await (const { value } of this.#client.consumer(signals, { group: 'traders', signal })) {
      const { symbol, advice, price, behind, pending, failureRate, late } = value
      const timeliness = `${behind} ms behind, ${pending} on their way, ${percent(failureRate)} failing, ${late} late`
      this.#hear(`${symbol.padEnd(6)}${advice.padEnd(5)}at ${price.toFixed(2)} (${timeliness})`, { signal: value })
    }
  }

  async #readWithheld(): Promise<void> {
    const { signal } = this.#over
    for await (const { key, headers } of this.#client.consumer(withheld, { group: 'traders', signal })) {
      const reason = headerText(headers, withheldHeaders.reason) ?? ''
      const culprit = headerText(headers, withheldHeaders.culprit) ?? ''
      this.#hear(`${key.padEnd(6)}no signal: ${reason} (${culprit || 'nobody is to blame yet'})`, { reason, culprit })
    }
  }
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

const folder = await mkdtemp(join(tmpdir(), 'tidemark-stock-signal-'))
try {
  await using brokers = await openBrokers(folder, process.env['BROKERS'])
  await using client = await connect({ brokers: brokers.urls, topics, store: `sqlite:${join(folder, 'watcher.db')}` })
  const program = join(import.meta.dirname, 'hop.ts')
  // In the folder of the run, so that what tidemark keeps in ./.tidemark/ goes away with it.
  const start = (name: string): ChildProcess => fork(program, [name, JSON.stringify(brokers.urls)], { cwd: folder })
  const demonstration = new Demonstration(client, start, !process.argv.includes('--summary'))
  try {
    if (!(await demonstration.run())) process.exitCode = 1
  } finally {
    await demonstration.stop()
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
