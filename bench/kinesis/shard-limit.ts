/** What AWS lets into one shard a second, which no local server keeps. */
const bytesPerSecond = 1024 * 1024
const recordsPerSecond = 1_000

/** Of the AWS client, as far as needed here. */
interface Client {
  readonly middlewareStack: {
    add(
      middleware: (next: (args: any) => Promise<any>, context: any) => (args: any) => Promise<any>,
      options: object
    ): void
  }
}

interface Entry {
  readonly Data: Uint8Array
  readonly PartitionKey: string
}

/**
 * Puts the limits of a single shard into a client: what is beyond them is refused as AWS refuses it, record by record. A
 * second's worth may come at once.
 */
export function limitShard(client: unknown): void {
  let bytes = bytesPerSecond
  let records = recordsPerSecond
  let at = performance.now()
  const admit = ({ Data, PartitionKey }: Entry): boolean => {
    const now = performance.now()
    const seconds = (now - at) / 1_000
    at = now
    bytes = Math.min(bytesPerSecond, bytes + seconds * bytesPerSecond)
    records = Math.min(recordsPerSecond, records + seconds * recordsPerSecond)
    const size = Data.byteLength + PartitionKey.length
    if (records < 1 || bytes < size) return false
    bytes -= size
    records--
    return true
  }
  const refusal = { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'Rate exceeded for shard' }
  ;(client as Client).middlewareStack.add(
    (next, context) => async args => {
      const name = String(context.commandName)
      if (name === 'PutRecordCommand' && !admit(args.input))
        throw Object.assign(new Error(refusal.ErrorMessage), {
          name: refusal.ErrorCode,
          $metadata: { httpStatusCode: 400 }
        })
      if (name !== 'PutRecordsCommand') return next(args)
      const admitted = (args.input.Records as Entry[]).map(admit)
      const taken = args.input.Records.filter((_: unknown, index: number) => admitted[index])
      const written =
        taken.length === 0 ? [] : (await next({ ...args, input: { ...args.input, Records: taken } })).output.Records
      const answers = written[Symbol.iterator]()
      const output = { Records: admitted.map(is => (is ? answers.next().value : refusal)) }
      return { output, response: {} }
    },
    { step: 'initialize', name: 'shard-limit' }
  )
}
