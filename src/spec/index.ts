export type { Adapter, AnyAdapter } from './adapter.ts'
export type {
  AdminDriver,
  CreateTopic,
  PartitionBacklog,
  TopicDescription,
  TopicSettings,
  BrokerSettings,
  Setting
} from './admin.ts'
export type {
  LogEvent,
  LogReader,
  LogReaderOptions,
  PartitionReader,
  PartitionReaderOptions,
  PartitionsAssigned,
  PartitionsRevoked,
  ReceiveOptions,
  RecordsReceived,
  StartAt,
  TopicPartition
} from './log-reader.ts'
export type { ProducerDriver, SendResult } from './producer.ts'
export type { Delivery, QueueSubscription, QueueSubscriptionOptions } from './queue-subscription.ts'
export type { FencedProducer, TransactionBatch, TransactionDriver, TransactionOutcome } from './transaction.ts'
