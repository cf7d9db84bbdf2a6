/** An AMQP error, in the words of the service. */
export interface AmqpError {
  readonly condition: string
  readonly description: string
}

const error = (condition: string, description: string): AmqpError => ({ condition, description })

export const errors = {
  notFound: (host: string, entity: string): AmqpError =>
    error(
      'amqp:not-found',
      `The messaging entity 'sb://${host}/${entity}' could not be found. To know more visit https://aka.ms/sbResourceMgrExceptions.`
    ),
  noPartition: (hub: string, partition: string, count: number): AmqpError =>
    error(
      'com.microsoft:argument-out-of-range',
      `The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and ${count - 1}. Parameter name: PartitionId, hub '${hub}', actual value '${partition}'.`
    ),
  unauthorized: (claim: string, host: string, entity: string): AmqpError =>
    error(
      'amqp:unauthorized-access',
      `Unauthorized access. '${claim}' claim(s) are required to perform this operation. Resource: 'sb://${host}/${entity}'.`
    ),
  expired: (): AmqpError => error('amqp:unauthorized-access', 'ExpiredToken: The token is expired.'),
  tooLarge: (size: number, limit: number): AmqpError =>
    error(
      'amqp:link:message-size-exceeded',
      `The received message (delivery-id:0, size:${size} bytes) exceeds the limit (${limit} bytes) currently allowed on the link.`
    ),
  busy: (): AmqpError =>
    error(
      'com.microsoft:server-busy',
      'The request was terminated because the namespace is being throttled. Error code : 50002. Please wait 4 seconds and try again.'
    ),
  higherEpoch: (receiver: string, epoch: number, highest: number): AmqpError =>
    error(
      'amqp:link:stolen',
      `Receiver '${receiver}' with a higher epoch '${highest}' already exists. Receiver '${receiver}' with epoch ${epoch} cannot be created. Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch receivers are closed or disconnected.`
    ),
  stolen: (epoch: number, old: number): AmqpError =>
    error(
      'amqp:link:stolen',
      `New receiver with higher epoch of '${epoch}' is created hence current receiver with epoch '${old}' is getting disconnected. If you are recreating the receiver, make sure a higher epoch is used.`
    ),
  tooManyReceivers: (group: string, partition: string, limit: number): AmqpError =>
    error(
      'amqp:resource-limit-exceeded',
      `Exceeded the maximum number of allowed receivers per partition in a consumer group which is ${limit}. Consumer group '${group}', partition '${partition}'.`
    ),
  badSequence: (sequence: number, last: number): AmqpError =>
    error(
      'com.microsoft:argument-error',
      `The supplied sequence number '${sequence}' is invalid. The last sequence number in the system is '${last}'.`
    ),
  badFilter: (filter: string): AmqpError => error('amqp:invalid-field', `The filter '${filter}' is not understood.`)
} as const
