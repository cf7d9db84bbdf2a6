import { view } from '../../core/codec.ts'
import { StreamError } from '../../core/errors.ts'
import type { StateRow } from '../../state/index.ts'
import { decodeOutbox, encodeOutbox } from '../outbox.ts'
import type { AppendOutcome, Commit, LastCommit, ReadBack, TaskLog, UnsentOutputs } from '../store.ts'
import type { DynamodbConnection, Write } from './dynamodb-connection.ts'
import { foldState } from './dynamodb-fold.ts'
import { lastOf, moveHead, partsOf, raise, readHead, type HeadRow } from './dynamodb-head.ts'
import { chunkBytes, chunksToWrite, partOf, placesOf, pointer, type Part, type PartKind } from './dynamodb-parts.ts'
import { applyPart, readBase, readChain, type Leftover } from './dynamodb-recovery.ts'
import { encodeRows } from './dynamodb-rows.ts'
import { Sweeper } from './dynamodb-sweeper.ts'

/** A larger head gets items of its own, bytes. */
const largestHead = 256 * 1024
/** State that commits have written since the base, before a new base is made: this, or as much as the base has. */
const foldAt = 1 << 20
/** What a commit counts for at least: many small ones are slow to read back, too. */
const foldWeight = 4_096
/** After a fold that failed, ms. */
const foldPause = 10_000

/** One commit on its way: the same requests for each attempt at it, or a late one of them would leave us wrong about what it named. */
interface Plan {
  readonly token: string
  readonly parts: readonly Part[]
  readonly writes: readonly Write[]
  readonly row: HeadRow
  staged: boolean
}

/** One owner's hold on one task. */
export class DynamodbTaskLog implements TaskLog {
  readonly epoch: number
  readonly last: LastCommit | undefined
  readonly unsent: readonly UnsentOutputs[]
  readonly #connection: DynamodbConnection
  readonly #pk: string
  readonly #sweeper: Sweeper
  #row: HeadRow
  #state: readonly StateRow[]
  /** Parts with outputs that are not yet sent, and with state that is not in the base. */
  #outputs: Part[]
  #tail: Part[]
  #plan: Plan | undefined
  #folding: Promise<void> | undefined
  #folded: Part | undefined
  #folds = 0
  #foldNotBefore = -Infinity
  #closed = false

  private constructor(
    connection: DynamodbConnection,
    row: HeadRow,
    last: LastCommit | undefined,
    recovered: Awaited<ReturnType<typeof recover>>
  ) {
    this.#connection = connection
    this.#pk = row.pk
    this.#row = row
    this.epoch = row.epoch
    this.last = last
    this.unsent = recovered.unsent
    this.#state = recovered.state
    this.#outputs = recovered.outputs
    this.#tail = recovered.tail
    this.#sweeper = new Sweeper(connection)
    // Nobody can commit under an older epoch any more: what is not named now never will be. Of a newer one it may be needed.
    this.#sweeper.add(
      recovered.rest.filter(({ epoch }) => epoch < row.epoch),
      true
    )
  }

  /** Raises the epoch, *then* reads: what the head names from here on changes by our commits only. */
  static async acquire(connection: DynamodbConnection, task: string): Promise<DynamodbTaskLog> {
    const row = await raise(connection, task)
    try {
      const recovered = await recover(connection, row)
      return new DynamodbTaskLog(connection, row, await lastOf(connection, row), recovered)
    } catch (error) {
      const now = await readHead(connection, row.pk)
      if (now?.epoch === row.epoch) throw error
      // Its next owner has deleted what we were reading.
      const message = `${connection.location}: task '${task}' was taken by another while its state was read`
      throw new StreamError('fenced', message, { retryable: true, cause: error })
    }
  }

  /** Handed over: it may be large, and who read it holds it by now. */
  get state(): readonly StateRow[] {
    const state = this.#state
    this.#state = []
    return state
  }

  async append(commit: Commit): Promise<AppendOutcome> {
    if (this.#plan?.token !== commit.token) this.#plan = this.#planned(commit)
    const plan = this.#plan
    const doing = `committing '${this.#pk}'`
    try {
      if (!plan.staged) await this.#connection.write(doing, plan.writes)
      plan.staged = true
      const found = await moveHead(this.#connection, doing, plan.row)
      // A token of ours in the way: an attempt before this one was late, and has taken effect after all.
      if (found && !(found.token === commit.token && found.epoch === this.epoch)) return 'fenced'
    } catch (error) {
      if (!(StreamError.is(error) && error.retryable)) throw error
      return 'unknown'
    }
    this.#applied(plan)
    return 'ok'
  }

  async readBack(): Promise<ReadBack> {
    const row = await readHead(this.#connection, this.#pk)
    if (!row || row.epoch !== this.epoch) return 'fenced'
    if (this.#plan && row.token === this.#plan.token) this.#applied(this.#plan)
    return { epoch: this.epoch, last: await lastOf(this.#connection, row) }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#sweeper.close()
  }

  #planned(commit: Commit): Plan {
    const parts: Part[] = []
    const writes: Write[] = []
    const stage = (kind: PartKind, bytes: Buffer, before: string | undefined): string => {
      const chunks = Math.ceil(bytes.length / chunkBytes)
      const part = { kind, number: commit.number, epoch: this.epoch, attempt: 0, chunks, bytes: bytes.length }
      parts.push(part)
      writes.push(...chunksToWrite(this.#pk, part, bytes, before))
      return pointer(part)
    }
    const { state, outputs } = this.#row
    const head = view(commit.head)
    const row: HeadRow = {
      pk: this.#pk,
      epoch: this.epoch,
      number: commit.number,
      token: commit.token,
      ...(head.length > largestHead ? { headPart: stage('head', head, undefined) } : { head }),
      state: commit.state.length > 0 ? stage('state', Buffer.concat([...encodeRows(commit.state)]), state) : state,
      outputs: commit.outputs.length > 0 ? stage('outputs', encodeOutbox(commit.outputs), outputs) : outputs,
      base: this.#folded ? pointer(this.#folded) : this.#row.base,
      relayed: Math.max(commit.relayedTo, this.#row.relayed)
    }
    return { token: commit.token, parts, writes, row, staged: writes.length === 0 }
  }

  /** It took effect: what it has superseded can go. */
  #applied({ parts, row }: Plan): void {
    const before = this.#row
    this.#plan = undefined
    this.#row = row
    const garbage: Part[] = []
    const keep = (all: readonly Part[], kind: PartKind, above: number): Part[] => {
      const now = [...all, ...parts.filter(part => part.kind === kind)]
      garbage.push(...now.filter(part => part.number <= above))
      return now.filter(part => part.number > above)
    }
    this.#outputs = keep(this.#outputs, 'outputs', row.relayed)
    this.#tail = keep(this.#tail, 'state', partOf('base', row.base)?.number ?? 0)
    if (row.base !== before.base) {
      garbage.push(...partsOf('base', before.base))
      this.#folded = undefined
    }
    garbage.push(...partsOf('head', before.headPart))
    this.#sweeper.add(garbage.flatMap(part => placesOf(this.#pk, part)))
    this.#fold()
  }
  /** Now and then, the state of all commits becomes a new base, beside the commits that go on. */
  #fold(): void {
    const last = this.#tail.at(-1)
    const now = this.#connection.environment.monotonic()
    if (!last || this.#folding || this.#folded || this.#closed || now < this.#foldNotBefore) return
    const base = partOf('base', this.#row.base)
    const weight = this.#tail.reduce((sum, { bytes }) => sum + Math.max(bytes, foldWeight), 0)
    if (weight <= Math.max(foldAt, base?.bytes ?? 0)) return
    const order = { base, last, epoch: this.epoch, attempt: this.#folds++ }
    this.#folding = foldState(this.#connection, this.#pk, order, () => this.#closed)
      .then(
        folded => void (this.#folded = folded),
        // Nothing depends on it; what was written of it, the next owner deletes.
        () => void (this.#foldNotBefore = this.#connection.environment.monotonic() + foldPause)
      )
      .finally(() => (this.#folding = undefined))
  }
}

/** What the head names, and what is there beside it. */
async function recover(
  connection: DynamodbConnection,
  row: HeadRow
): Promise<{
  readonly state: StateRow[]
  readonly unsent: UnsentOutputs[]
  readonly outputs: Part[]
  readonly tail: Part[]
  readonly rest: Leftover[]
}> {
  const { pk } = row
  const base = partOf('base', row.base)
  const head = partOf('head', row.headPart)
  const rows = new Map<string, StateRow>()
  const besideBase: Leftover[] = []
  const chain = (kind: PartKind, last: Part | undefined, downTo: number): ReturnType<typeof readChain> =>
    readChain(connection, pk, kind, last, downTo, true)
  const [state, outputs, heads] = await Promise.all([
    chain('state', partOf('state', row.state), base?.number ?? 0),
    chain('outputs', partOf('outputs', row.outputs), row.relayed),
    chain('head', head, row.number - 1),
    readBase(connection, pk, base, rows, besideBase)
  ])
  for (const part of state.parts) applyPart(part, rows)
  return {
    state: [...rows.values()],
    unsent: outputs.parts.map(({ part, data }) => ({ commit: part.number, outputs: decodeOutbox(data) })),
    outputs: outputs.parts.map(({ part }) => part),
    tail: state.parts.map(({ part }) => part),
    rest: [...state.rest, ...outputs.rest, ...heads.rest, ...besideBase]
  }
}
