/**
 * What a backend can do, as data. Read by the runtime (to refuse), by the types (to refuse earlier), by the conformance
 * suite (to choose cases) and by `docs/guarantees.md`. Never a promise that was not tried on a server.
 */
export interface Capabilities {
  /** `log`: reading resumes from a stored position. `none`: a queue with acknowledgements. */
  readonly positions: 'log' | 'none'
  /** The order that the transport keeps. */
  readonly order: 'partition' | 'key' | 'none'
  /** May one send arrive twice, without any crash? */
  readonly duplicates: boolean
  /** Consumer groups of the broker share out partitions; otherwise leases in the commit store do. */
  readonly groups: boolean
  /** Records, positions and a commit record in one atomic step, fenced by id (`TransactionDriver`). */
  readonly transactions: boolean
  /** Readers can be kept from records of open and aborted transactions. */
  readonly readCommitted: boolean
  readonly headers: 'bytes' | 'text'
  /** A `null` value is kept apart from an empty one. */
  readonly tombstones: boolean
  /** Survives the end of the process that holds it. */
  readonly durable: boolean
  /** Who may share the backend: this process, the processes of one host, or anyone on the network. */
  readonly scope: 'process' | 'host' | 'network'
  /** Reading can start at a time. */
  readonly seekToTime: boolean
  /** Largest record in bytes, `Infinity` when only memory limits it. The broker's own setting may be lower. */
  readonly maxRecord: number
  /** Ways in which records may legally vanish: a gap in the sequence is then no proof of loss. */
  readonly lossy: { readonly compaction: boolean; readonly retention: boolean }
  /** Whose clock `RawRecord.timestamp` shows. */
  readonly brokerTime: 'append' | 'client'
}
