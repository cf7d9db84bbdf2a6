import { view, type Codec } from '../core/codec.ts'
import { StreamError } from '../core/errors.ts'
import type { StreamRecord } from '../core/record.ts'
import type { AnyTopic } from '../core/topic.ts'
import {
  processor,
  type Guard,
  type ProcessContext,
  type ProcessorStage,
  type RecordOf,
  type SideTopic,
  type Topics
} from '../pipeline/index.ts'
import { keyed, type KeyedState } from '../state/index.ts'
import { checkSides, type Joined, type JoinType } from './join-types.ts'
import { checkTopics, listOf, ResultWriter, type TaggedEntry } from './results.ts'
import { stageOptions, type StageOptions } from './stage-options.ts'
import { boundAs } from './stored-sides.ts'
import type { Keyed, KeyOf, PayloadOf, Results, SameKey } from './types.ts'

export interface TableJoinOptions<
  From extends AnyTopic,
  Table extends AnyTopic,
  To extends Topics,
  Type extends JoinType,
  Result extends Results<To> = Results<To>
> extends StageOptions {
  readonly name: string
  readonly from: From & Keyed<From>
  /**
   * Its newest value per key is the table; a tombstone (`null`, with a codec that is `optional`) takes the key out. Has
   * keys of the same kind as `from`, and as many partitions.
   */
  readonly table: Table & SameKey<From, Table>
  readonly to: To
  /** `inner` (default): nothing for a record whose key is not in the table. `left`: `join` is called without a row. */
  readonly type?: Type
  /** The entries for a record and the row of its key. Their event time is that of the record, unless they say another. */
  join(
    record: RecordOf<From>,
    row: Joined<KeyOf<Table>, NonNullable<PayloadOf<Table>>> | (Type extends 'left' ? undefined : never)
  ): Result
  /** Records that are not timely enough go to a side output instead of being joined. Rows of the table are always taken in. */
  readonly guard?: Guard<NoInfer<SideTopic<From>> | undefined>
}

/**
 * A processor that looks up each record in a table: the newest value per key of another topic, as far as this task has
 * read it. What is newest is decided by the order of the table topic, as in a compacted topic, not by event time. Rows are
 * state; there are as many as keys in the table.
 *
 * The two topics are read in order of event time as far as both have records waiting, and a record is never held back
 * until its row comes: which of two records comes first when they are near each other in time is a matter of arrival.
 *
 * Errors: `bad-config` for topics that cannot be, and for options of a processor that it has no use for.
 *
 * @example
 * const named = tableJoin({
 *   name: 'name-customers', from: orders, table: customers, to: namedOrders,
 *   join: (order, customer) => ({ key: order.key, value: { ...order.value, name: customer.value.name } })
 * })
 */
export function tableJoin<
  const From extends AnyTopic,
  const Table extends AnyTopic,
  const To extends Topics,
  const Type extends JoinType = 'inner',
  const Result extends Results<To> = Results<To>
>(options: TableJoinOptions<From, Table, To, Type, Result>): ProcessorStage {
  const { name, from, table, to, type = 'inner', guard } = options as AnyOptions
  const where = `tableJoin '${name}'`
  const shared = stageOptions(where, options as AnyOptions, ['guard'])
  if (guard?.only?.some(only => only !== from.name))
    throw new StreamError(
      'bad-config',
      `${where}: its guard is for the records of '${from.name}': a row of the table that is withheld would be missing for good`
    )
  const topics = listOf(to)
  checkTopics(where, [from, table], topics, [])
  checkSides(where, from, table, type)
  const results = new ResultWriter(`join of ${where}`, topics)
  const join = (record: StreamRecord, { state }: TableContext): TaggedEntry[] | undefined => {
    const { key, value, eventTime } = record
    if (record.topic === table.name) {
      if (value === null) state.row.delete()
      else state.row.set({ value, eventTime })
      return undefined
    }
    const row = state.row.get()
    if (!row && type === 'inner') return undefined
    const entries: TaggedEntry[] = []
    results.write(entries, (options as AnyOptions).join(record, row && { key, ...row }))
    return entries
  }
  return processor<any, any, any>({
    name,
    from: [from, table],
    to: topics,
    state: { row: keyed<Row>(boundAs([table], value => storedRow(value!))) },
    ...shared,
    ...(guard && { guard: { ...guard, only: [from.name] } }),
    process: (record, context) => join(record, context as never)
  })
}

type AnyOptions = Omit<TableJoinOptions<AnyTopic, AnyTopic, any, JoinType, any>, 'from' | 'table' | 'join'> & {
  readonly from: AnyTopic
  readonly table: AnyTopic
  join(record: StreamRecord, row: Joined<unknown, unknown> | undefined): unknown
}

interface Row {
  readonly value: unknown
  readonly eventTime: number
}

type TableContext = Omit<ProcessContext, 'state'> & { readonly state: { readonly row: KeyedState<Row, undefined> } }

const version = 1
const headerBytes = 1 + 8

function storedRow(value: Codec<unknown>): Codec<Row> {
  return {
    name: value.name,
    encode(row) {
      const body = value.encode(row.value)
      const bytes = Buffer.allocUnsafe(headerBytes + body.byteLength)
      bytes.set(body, bytes.writeDoubleBE(row.eventTime, bytes.writeUInt8(version, 0)))
      return bytes
    },
    decode: row => ({ value: value.decode(bodyOf(row)), eventTime: view(row).readDoubleBE(1) }),
    ...(value.prepare && { prepare: rows => value.prepare!(rows.map(bodyOf)) })
  }
}

function bodyOf(row: Uint8Array): Uint8Array {
  if (row[0] === version) return row.subarray(headerBytes)
  throw new StreamError('corrupt', `a row of a joined table is of version ${row[0]}, this release reads ${version}`)
}
