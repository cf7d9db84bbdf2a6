/** F4: epochs of producers end at 32,767: the coordinator then gives another producer id, with epoch 0. */
import { expect, it } from 'vitest'
import { systemEnvironment } from '../../src/core/environment.ts'
import { KafkaTransactions } from '../../src/adapters/kafka/transaction.ts'

interface Names {
  readonly producerId: string
  readonly producerEpoch: number
}

it('F4: the epoch is what the coordinator says, over the end of its range: nothing is computed with it', async () => {
  let given = { producerId: '7', producerEpoch: 32_759 }
  const ended: Names[] = []
  const coordinator = {
    // As KIP-890 has it: the last epochs are kept back, then a new id begins.
    initProducerId: async () =>
      (given =
        given.producerEpoch === 32_766
          ? { producerId: '8', producerEpoch: 0 }
          : { ...given, producerEpoch: given.producerEpoch + 1 }),
    addPartitionsToTxn: async () => {},
    endTxn: async ({ producerId, producerEpoch }: Names) => void ended.push({ producerId, producerEpoch })
  }
  const connection = {
    coordinator: async () => coordinator,
    forgetCoordinator: () => {},
    loadTopics: async () => {},
    forgetMetadata: () => {},
    leaderId: () => 1,
    partitionCount: () => 1
  }
  const transactions = new KafkaTransactions({
    environment: systemEnvironment,
    lane: () => connection as never,
    write: { timeout: 1_000 } as never,
    transactionTimeout: 1_000
  })
  for (let life = 0; life < 12; life++) {
    const producer = await transactions.producer('p/s/0')
    expect((await producer.commit({ records: [] })).outcome).toBe('committed')
    expect(ended.at(-1)).toEqual(given)
    await producer.close()
  }
  expect(ended.map(({ producerId, producerEpoch }) => `${producerId}:${producerEpoch}`).slice(5, 9)).toEqual([
    '7:32765',
    '7:32766',
    '8:0',
    '8:1'
  ])
})
