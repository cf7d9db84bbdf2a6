export { LeaseGroup, type LeaseListener } from './lease-group.ts'
export type { Lease } from './leases.ts'
export { decodeHead, encodeHead, type Head, type QuietSpan, type Skip } from './head.ts'
export { decodeOutbox, encodeOutbox } from './outbox.ts'
export { idle, step, type ProtocolEffect, type ProtocolEvent, type ProtocolState } from './protocol.ts'
export { commitToken } from './store.ts'
export type {
  AppendOutcome,
  ClientStore,
  Commit,
  CommitStore,
  Holding,
  LastCommit,
  LeaseStore,
  PositionStore,
  ReadBack,
  Standby,
  TaskLog,
  TaskName,
  UnsentOutputs
} from './store.ts'
export { readToEnd } from './read-to-end.ts'
export { GroupStore, OutputsFirst } from './stores/at-least-once.ts'
export { BrokerStore, changelogTopic, type StandbyOptions } from './stores/broker.ts'
export { DynamodbStore } from './stores/dynamodb.ts'
export type { DynamodbClient } from './stores/dynamodb-client.ts'
export { dynamodbOptions, type DynamodbOptions } from './stores/dynamodb-options.ts'
export { tableDescription, workerPolicy } from './stores/dynamodb-table.ts'
export { MemoryStore } from './stores/memory.ts'
export { PostgresStore } from './stores/postgres.ts'
export type { PostgresModule } from './stores/postgres-client.ts'
export { refusesRows, sqlState } from './stores/postgres-errors.ts'
export type { PostgresTaskLog } from './stores/postgres-log.ts'
export { postgresOptions, type PostgresOptions } from './stores/postgres-options.ts'
export { alone, exists, quoted, schemaSql } from './stores/postgres-schema.ts'
export type { StagedPart, StagedRows } from './stores/postgres-statements.ts'
export { SqliteStore } from './stores/sqlite.ts'
export type { WithCommit } from './stores/sqlite-log.ts'
