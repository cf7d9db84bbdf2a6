import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createConnection } from 'node:net'
import { networkInterfaces } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { KAFKA_USERS, kafkaAvailable, startKafka } from '../../testcontainers/kafka.ts'
import type { Server } from '../../testcontainers/server.ts'
import { freePorts, isFree } from '../../testcontainers/support/ports.ts'
import { until } from '../support/records.ts'
import { firstLine, isAlive, topicsAs, withAdmin } from './client.ts'

const reason = inject('backends').includes('kafka') ? await kafkaAvailable() : 'BACKENDS leaves out kafka'
if (reason && process.env.CI && inject('backends').includes('kafka')) throw new Error(reason)

const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const topics = (server: Server): Promise<string[]> => withAdmin(server, admin => admin.listTopics())

async function createTopic(server: Server): Promise<string> {
  const topic = `topic-${randomUUID()}`
  // The controller has it before the broker has heard of it, which kafkajs's own waiting takes for an error.
  await withAdmin(server, admin => admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: false }))
  await until(async () => (await topics(server)).includes(topic))
  return topic
}

async function connecting(port: number, host: string): Promise<string> {
  const socket = createConnection(port, host)
  try {
    await once(socket, 'connect')
    return 'connected'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  } finally {
    socket.destroy()
  }
}

describe.skipIf(reason)(
  reason ? `a Kafka of our own (not run: ${reason})` : 'a Kafka of our own',
  { timeout: 120_000 },
  () => {
    let kafka: Server
    let topic: string

    beforeAll(async () => {
      kafka = await startKafka()
      topic = await createTopic(kafka)
    })
    afterAll(() => kafka?.stop())

    test('lists its topics to a client without encryption', async () => {
      expect(kafka.url).toMatch(/^kafka:\/\/127\.0\.0\.1:\d+$/)
      expect(await topics(kafka)).toEqual([topic])
    })

    test.each([
      ['PLAIN', KAFKA_USERS.alice],
      ['SCRAM-SHA-256', KAFKA_USERS.bob],
      ['SCRAM-SHA-512', KAFKA_USERS.bob]
    ])('lets a user in through TLS with %s, and refuses a wrong password', async (mechanism, user) => {
      expect(kafka.tls.users).toContainEqual(user)
      expect(await topicsAs(user, mechanism, kafka.tls)).toEqual([topic])
      await expect(topicsAs({ ...user, password: 'wrong' }, mechanism, kafka.tls)).rejects.toThrow(/authentication/i)
    })

    test('does not make a topic because somebody asks for it', async () => {
      const missing = withAdmin(kafka, admin => admin.fetchTopicMetadata({ topics: [`missing-${randomUUID()}`] }))
      await expect(missing).rejects.toThrow(/does not host this topic-partition/)
    })

    test('is reached through the loopback address only', async context => {
      const addresses = Object.values(networkInterfaces()).flat()
      const outside = addresses.find(address => address?.family === 'IPv4' && !address.internal)
      if (!outside) return context.skip('this machine has the loopback address only')
      for (const port of [new URL(kafka.url).port, kafka.tls.port]) {
        expect(await connecting(Number(port), outside.address)).toBe('ECONNREFUSED')
      }
    })

    test('keeps topics, ports and users over a restart', async () => {
      const { url, tls, pid } = kafka
      await kafka.restart()
      expect({ url: kafka.url, tls: kafka.tls }).toEqual({ url, tls })
      if (kafka.runtime === 'process') expect(kafka.pid).not.toBe(pid)
      expect(await topics(kafka)).toEqual([topic])
      expect(await topicsAs(KAFKA_USERS.bob, 'SCRAM-SHA-256', tls)).toEqual([topic])
    })

    test('stays down after kill, and comes back with its topics', async () => {
      const { pid } = kafka
      await kafka.kill()
      if (pid !== undefined) expect(isAlive(pid)).toBe(false)
      expect(kafka.pid).toBe(undefined)
      expect(await connecting(Number(new URL(kafka.url).port), '127.0.0.1')).toBe('ECONNREFUSED')
      await kafka.restart()
      expect(await topics(kafka)).toEqual([topic])
    })

    test('runs beside another one, and stop() leaves nothing of it', async () => {
      const other = await startKafka()
      const clusterId = (server: Server): Promise<string> =>
        withAdmin(server, async admin => (await admin.describeCluster()).clusterId)
      expect(await topics(other)).toEqual([])
      expect(await clusterId(other)).not.toBe(await clusterId(kafka))
      const { pid, tls } = other
      await other.stop()
      await other.stop()
      if (pid !== undefined) expect(isAlive(pid)).toBe(false)
      expect(existsSync(dirname(tls.caPath))).toBe(false)
      expect(await isFree(Number(new URL(other.url).port))).toBe(true)
      expect(await topics(kafka)).toEqual([topic])
    })

    test('says so when the port that it was asked for is taken', async () => {
      const port = Number(new URL(kafka.url).port)
      await expect(startKafka({ port })).rejects.toThrow(`port ${port} of 127.0.0.1 is taken`)
    })

    test('shows the end of its log when it does not start', async () => {
      const broken = startKafka({ runtime: 'process', properties: { 'num.io.threads': '0' } })
      await expect(broken).rejects.toThrow(/num\.io\.threads/)
    })

    test('is killed, and its data removed, when the process that started it is killed', async () => {
      const parent = spawn(process.execPath, [script('./start-and-wait.ts')], { stdio: ['ignore', 'pipe', 'inherit'] })
      const { pid, logFile } = JSON.parse(await firstLine(parent)) as { pid: number; logFile: string }
      expect(isAlive(pid)).toBe(true)
      parent.kill('SIGKILL')
      await once(parent, 'exit')
      await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false)
      await expect.poll(() => existsSync(dirname(logFile)), { timeout: 5_000 }).toBe(false)
    })

    test('is started and stopped in the foreground by the up script', async () => {
      const [port] = await freePorts(1)
      const up = spawn(process.execPath, [script('../../scripts/up.ts'), 'kafka', '--port', `${port}`])
      let errors = ''
      up.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
      expect(await firstLine(up)).toBe(`kafka://127.0.0.1:${port}`)
      up.kill('SIGINT')
      expect(await once(up, 'exit')).toEqual([0, null])
      const caPath = /authority (\S+)/.exec(errors)?.[1]
      expect(caPath).toBeDefined()
      expect(existsSync(dirname(caPath!))).toBe(false)
      expect(await isFree(port!)).toBe(true)
    })
  }
)

test('the up script lists the servers that it knows', async () => {
  const up = spawn(process.execPath, [script('../../scripts/up.ts'), 'rabbit'])
  let errors = ''
  up.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  expect(await once(up, 'close')).toEqual([2, null])
  expect(errors).toMatch(/no such server: rabbit\n.*\nservers: kafka/)
})
