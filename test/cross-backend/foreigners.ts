/** Readers of other vendors, which know nothing of stamps. */
import { Kafka, logLevel } from 'kafkajs'
import { onTestFinished } from 'vitest'
import WebSocket from 'ws'
import type { Counted } from './job.ts'

/** Reads a topic from its start and goes on: what it finds, in the order of the partitions. */
export type Foreigner = (url: string, topic: string) => Promise<readonly Counted[]>

/** Everything that is committed, by kafkajs. */
export async function kafkaForeigner(url: string, topic: string): Promise<readonly Counted[]> {
  const client = new Kafka({ brokers: [url.replace('kafka://', '')], logLevel: logLevel.NOTHING })
  const consumer = client.consumer({ groupId: `foreigner-${Date.now()}`, readUncommitted: false })
  const found: Counted[] = []
  await consumer.connect()
  onTestFinished(() => consumer.disconnect())
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => void found.push(JSON.parse(message.value!.toString()) as Counted)
  })
  return found
}

/** By the WebSocket API of Pulsar itself. */
export async function pulsarForeigner(url: string, topic: string): Promise<readonly Counted[]> {
  const found: Counted[] = []
  for (const partition of [0, 1]) {
    const path = `persistent/public/default/${topic}-partition-${partition}?messageId=earliest`
    const socket = new WebSocket(`ws://${new URL(url).host}/ws/v2/reader/${path}`)
    onTestFinished(() => socket.terminate())
    await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject))
    socket.on('message', data => {
      const { messageId, payload } = JSON.parse(String(data)) as { messageId: string; payload: string }
      found.push(JSON.parse(Buffer.from(payload, 'base64').toString()) as Counted)
      socket.send(JSON.stringify({ messageId }))
    })
  }
  return found
}
