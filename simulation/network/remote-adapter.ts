import { abortedError } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import type { Machine } from '../core/machine.ts'
import type {
  AdminDriver,
  AnyAdapter,
  FencedProducer,
  LogEvent,
  LogReader,
  PartitionReader,
  ProducerDriver,
  ReceiveOptions,
  TopicPartition
} from '../../src/spec/index.ts'
import { RemoteQueue } from './remote-queue.ts'

/** The adapter as one machine has it: every call goes through the network. */
export function remoteAdapter(machine: Machine, inner: AnyAdapter): AnyAdapter {
  const { logReader, partitionReader, transactions, queueSubscription, check } = inner
  const remote: AnyAdapter = {
    specification: 'v1',
    name: inner.name,
    location: inner.location,
    capabilities: inner.capabilities,
    native: inner.native,
    open: async () => {},
    admin: () => remoteAdmin(machine, inner.admin()),
    producer: async () => remoteProducer(machine, await machine.call('broker', 'producer', () => inner.producer())),
    comparePositions: (left, right) => inner.comparePositions(left, right),
    classify: error => inner.classify(error),
    close: async () => {},
    ...(check && { check: check.bind(inner) }),
    ...(logReader && {
      logReader: async options =>
        new RemoteLogReader(
          machine,
          await machine.call('broker', 'join', () => logReader.call(inner, options), {
            // A member that nobody knows of stays until its session ends.
            unheard: reader => machine.later(() => reader.close())
          })
        )
    }),
    ...(partitionReader && {
      partitionReader: async options =>
        new RemotePartitionReader(
          machine,
          await machine.call('broker', 'open partition', () => partitionReader.call(inner, options))
        )
    }),
    ...(queueSubscription && {
      queueSubscription: async options =>
        new RemoteQueue(
          machine,
          await machine.call('broker', 'subscribe', () => queueSubscription.call(inner, options))
        )
    }),
    ...(transactions && {
      transactions: () => ({
        producer: async id => {
          const driver = transactions.call(inner)
          const producer = await machine.call('broker', `init ${id}`, () => driver.producer(id))
          return remoteFenced(machine, id, producer)
        }
      })
    })
  }
  return remote
}

function remoteAdmin(machine: Machine, inner: AdminDriver): AdminDriver {
  const { behind, ensureGroup } = inner
  return {
    createTopic: topic => machine.call('broker', 'create topic', () => inner.createTopic(topic)),
    deleteTopic: topic => machine.call('broker', 'delete topic', () => inner.deleteTopic(topic)),
    describeTopic: topic => machine.call('broker', 'describe topic', () => inner.describeTopic(topic)),
    listTopics: () => machine.call('broker', 'list topics', () => inner.listTopics()),
    backlog: (group, topics) => machine.call('broker', 'backlog', () => inner.backlog(group, topics)),
    committed: (group, topic) => machine.call('broker', 'committed', () => inner.committed(group, topic)),
    ...(behind && {
      behind: (topic, positions) => machine.call('broker', 'behind', () => behind.call(inner, topic, positions))
    }),
    ...(ensureGroup && {
      ensureGroup: (group, topic) => machine.call('broker', 'ensure group', () => ensureGroup.call(inner, group, topic))
    }),
    close: () => inner.close()
  }
}

function remoteProducer(machine: Machine, inner: ProducerDriver): ProducerDriver {
  return {
    send: (batch, signal) => machine.call('broker', 'send', () => inner.send(batch), { signal }),
    close: () => (machine.alive ? Promise.resolve() : new Promise(() => {}))
  }
}

function remoteFenced(machine: Machine, id: string, inner: FencedProducer): FencedProducer {
  return {
    commit: batch =>
      machine.call('broker', `transaction of ${id}`, () => inner.commit(batch), {
        unclear: error => ({ outcome: 'unknown', error })
      }),
    close: async () => {}
  }
}

/**
 * What both readers do, as a client library does it: one request waits at the broker, and what comes is kept until
 * somebody takes it. Whoever stops waiting loses nothing.
 */
abstract class Patient<Received> {
  protected readonly machine: Machine
  readonly #arrived: Received[] = []
  /** Of a request that nobody waited for any more: what it was to bring may be gone, so it must be told. */
  #failure: unknown
  #fetching: Promise<void> | undefined

  constructor(machine: Machine) {
    this.machine = machine
  }

  protected abstract ask(options: ReceiveOptions): Promise<Received>

  /** `early`: it had come, or was on its way, before this call. */
  protected async receiveFrom({ wait, signal }: ReceiveOptions): Promise<{ received: Received; early: boolean }> {
    if (signal?.aborted) throw abortedError(signal)
    if (this.#fetching) await abortable(this.#fetching, signal)
    const early = this.#next()
    if (early !== undefined) return { received: early, early: true }
    this.#fetching = this.machine
      .call('broker', 'receive', () => this.ask({ wait, ...(signal && { signal }) }), { patient: true })
      .then(
        received => void this.#arrived.push(received),
        error => {
          if (!StreamError.is(error) || error.code !== 'aborted') this.#failure = error
        }
      )
      .finally(() => (this.#fetching = undefined))
    await abortable(this.#fetching, signal)
    const received = this.#next()
    if (received === undefined) throw abortedError(signal)
    return { received, early: false }
  }

  #next(): Received | undefined {
    const failure = this.#failure
    this.#failure = undefined
    if (failure !== undefined) throw failure
    return this.#arrived.shift()
  }
}

interface Arrived {
  readonly event: LogEvent
  readonly moves: number
}

const id = ({ topic, partition }: TopicPartition): string => `${partition} ${topic}`

class RemoteLogReader extends Patient<readonly Arrived[]> implements LogReader {
  readonly #inner: LogReader
  /** How often each partition has been moved; records from before the last move are of another place. */
  readonly #moves = new Map<string, number>()
  readonly seek: LogReader['seek']
  readonly commit: LogReader['commit']

  constructor(machine: Machine, inner: LogReader) {
    super(machine)
    this.#inner = inner
    this.seek = (place, at) =>
      machine.call(
        'broker',
        'seek',
        async () => {
          await inner.seek(place, at)
          this.#moves.set(id(place), (this.#moves.get(id(place)) ?? 0) + 1)
        },
        { clean: true }
      )
    this.commit = positions => machine.call('broker', 'commit', () => inner.commit(positions))
  }

  protected async ask(options: ReceiveOptions): Promise<readonly Arrived[]> {
    const events = await this.#inner.receive(options)
    return events.map(event => {
      if (event.kind === 'records') return { event, moves: this.#moves.get(id(event)) ?? 0 }
      if (event.kind === 'partitions-assigned' || event.deadline === 0) return { event, moves: 0 }
      // Deadlines are told in the time of the machine.
      const deadline = this.machine.localTime(event.deadline)
      return { event: { ...event, deadline, release: () => this.#release(event.release) }, moves: 0 }
    })
  }

  async receive(options: ReceiveOptions): Promise<readonly LogEvent[]> {
    const { received } = await this.receiveFrom(options)
    return received.flatMap(({ event, moves }) =>
      event.kind === 'records' && moves < (this.#moves.get(id(event)) ?? 0) ? [] : [event]
    )
  }

  pause(partitions: Parameters<LogReader['pause']>[0]): void {
    if (this.machine.alive) this.#inner.pause(partitions)
  }

  resume(partitions: Parameters<LogReader['resume']>[0]): void {
    if (this.machine.alive) this.#inner.resume(partitions)
  }

  async close(): Promise<void> {
    // A goodbye that does not arrive: the session ends by itself.
    await this.machine
      .call('broker', 'leave', () => this.#inner.close())
      .catch(() => this.machine.later(() => this.#inner.close()))
  }

  #release(release: () => void): void {
    void this.machine.call('broker', 'release', release).catch(() => {})
  }
}

type Batch = Awaited<ReturnType<PartitionReader['receive']>>

class RemotePartitionReader extends Patient<Batch> implements PartitionReader {
  readonly #inner: PartitionReader

  constructor(machine: Machine, inner: PartitionReader) {
    super(machine)
    this.#inner = inner
  }

  protected ask(options: ReceiveOptions): Promise<Batch> {
    return this.#inner.receive(options)
  }

  async receive(options: ReceiveOptions): Promise<Batch> {
    const { received, early } = await this.receiveFrom(options)
    // What was asked for earlier says nothing of the end as of this call.
    return early ? { records: received.records, atEnd: false } : received
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }
}

/** `promise`, unless the signal fires first. */
function abortable<Result>(promise: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortedError(signal))
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
