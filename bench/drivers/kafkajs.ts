import { rawConsume, rawExactlyOnce, rawKafka, rawProduce } from '../kafka/raw.ts'
import { missingPackage, type Driver } from './driver.ts'

/** The driver of ours. */
export const kafkajs: Driver = {
  name: 'kafkajs',
  missing: () => missingPackage('kafkajs', () => import('kafkajs')),
  async open(servers) {
    const kafka = await rawKafka(servers)
    const transactional = await rawKafka(servers, 'raw-transactional', { initialRetryTime: 5 })
    return {
      produce: (topic, count) => rawProduce(kafka, topic, count),
      consume: (topic, count) => rawConsume(kafka, topic, count),
      exactlyOnce: (from, to, count) => rawExactlyOnce(kafka, transactional, from, to, count)
    }
  }
}
