/** Logins that the server of the whole run does not take: client certificates, and tokens that run out. */
import { dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { KafkaOptions, KafkaSasl } from '../../../src/adapters/kafka/index.ts'
import { startKafka, type Server } from '../../../testcontainers/kafka.ts'
import { run } from '../../../testcontainers/support/run.ts'
import { createTopic, failure, type KafkaAdapter, notRun, open, readAll, record, running, texts } from './server.ts'

const logIn = 'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule'

describe.runIf(running)(`kafka with client certificates and tokens${notRun}`, { timeout: 120_000 }, () => {
  let server: Server
  let key: string
  let cert: string
  const adapters: KafkaAdapter[] = []
  beforeAll(async () => {
    server = await startKafka({
      properties: {
        'listener.name.sasl_ssl.ssl.client.auth': 'required',
        'sasl.enabled.mechanisms': 'OAUTHBEARER',
        'listener.name.sasl_ssl.oauthbearer.sasl.jaas.config': `${logIn} required unsecuredLoginStringClaim_sub="broker";`,
        // A connection ends with the token that it was opened with, unless it logs in again before.
        'connections.max.reauth.ms': '3600000'
      }
    })
    ;({ key, cert } = await clientCertificate(dirname(server.tls.caPath)))
  }, 120_000)
  afterEach(() => Promise.all(adapters.splice(0).map(adapter => adapter.close())))
  afterAll(() => server?.stop())

  async function secure(options: Partial<KafkaOptions>): Promise<KafkaAdapter> {
    const adapter = await open({ brokers: [server.tls.address], requestTimeout: 5_000, ...options })
    adapters.push(adapter)
    return adapter
  }

  const bearer = (provider: () => Promise<{ value: string }>): KafkaSasl => ({
    mechanism: 'oauthbearer',
    oauthBearerProvider: provider
  })

  it('go on over the end of a token, with a new one', async () => {
    let tokens = 0
    const provider = async (): Promise<{ value: string }> => {
      tokens++
      return { value: tokenFor('orders', 12) }
    }
    const adapter = await secure({ ssl: { ca: server.tls.ca, key, cert }, sasl: bearer(provider) })
    const topic = await createTopic(adapter)
    const producer = await adapter.producer()
    const before = tokens
    const sent: string[] = []
    for (const end = Date.now() + 10_000; Date.now() < end; await wait(200)) {
      const [result] = await producer.send([record(topic, 0, `${sent.length}`)])
      expect(result).toMatchObject({ ok: true })
      sent.push(`${sent.length}`)
    }
    // It logs in again ten seconds before the end.
    expect(tokens - before).toBeGreaterThanOrEqual(2)
    expect(texts(await readAll(adapter, topic))).toEqual(sent)
  })

  it('are unauthorized with a token that is over, and the token is not shown', async () => {
    const token = tokenFor('orders', -60)
    const adapter = await secure({
      ssl: { ca: server.tls.ca, key, cert },
      sasl: bearer(async () => ({ value: token }))
    })
    const error = await failure(adapter.admin().listTopics())
    expect(adapter.classify(error)).toEqual({ code: 'unauthorized', retryable: false })
    expect(String(error)).not.toContain(token)
  })

  it('are refused without a certificate', async () => {
    const adapter = await secure({
      ssl: { ca: server.tls.ca },
      sasl: bearer(async () => ({ value: tokenFor('orders', 60) }))
    })
    const error = await failure(adapter.admin().listTopics())
    expect(adapter.classify(error)).toEqual({ code: 'unauthorized', retryable: false })
    expect(String(error)).toMatch(/certificate/)
  })
})

/** The key of a client, and its certificate by the authority of the server. */
async function clientCertificate(directory: string): Promise<{ key: string; cert: string }> {
  const { readFile } = await import('node:fs/promises')
  const openssl = (...parameters: string[]): Promise<unknown> => run('openssl', parameters, { directory })
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-config', 'openssl.cnf']
  await openssl('req', ...fresh, '-subj', '/CN=orders', '-keyout', 'client.key', '-out', 'client.csr')
  const signed = ['-req', '-in', 'client.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-set_serial', '7', '-days', '30']
  await openssl('x509', ...signed, '-out', 'client.crt')
  const read = (name: string): Promise<string> => readFile(`${directory}/${name}`, 'utf8')
  return { key: await read('client.key'), cert: await read('client.crt') }
}

/** Not signed: the server of this test takes anybody's word. Source: RFC 7515, `alg: none`. */
function tokenFor(subject: string, seconds: number): string {
  const now = Math.floor(Date.now() / 1000)
  const part = (content: object): string => Buffer.from(JSON.stringify(content)).toString('base64url')
  return `${part({ alg: 'none' })}.${part({ sub: subject, iat: now - 1, exp: now + seconds, scope: 'all' })}.`
}
