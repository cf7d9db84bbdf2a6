import { createRequire } from 'node:module'
import { startKafka } from '../testcontainers/kafka.ts'

/** A server whose rights can be taken away from a worker, and given back. */
export interface Guarded extends AsyncDisposable {
  /** `TIDEMARK_` variables that log the worker in. */
  readonly variables: Readonly<Record<string, string>>
  /** Variables of its process. */
  readonly env: Readonly<Record<string, string>>
  readonly revoke: () => Promise<() => Promise<void>>
}

interface Acls {
  connect(): Promise<void>
  disconnect(): Promise<void>
  createAcls(request: { readonly acl: readonly object[] }): Promise<unknown>
  deleteAcls(request: { readonly filters: readonly object[] }): Promise<unknown>
}

/** The numbers of kafkajs: every topic, literally, every operation, refused. */
const everyTopic = {
  resourceType: 2,
  resourceName: '*',
  resourcePatternType: 3,
  host: '*',
  operation: 2,
  permissionType: 2
}

/** Kafka with its authorizer: the worker comes by TLS with a name, who grants and revokes comes by the open listener. */
export async function startGuardedKafka(): Promise<Guarded> {
  const server = await startKafka({
    properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
      'allow.everyone.if.no.acl.found': 'true'
    }
  })
  const { Kafka } = createRequire(import.meta.url)('kafkajs') as {
    Kafka: new (options: object) => { admin(): Acls }
  }
  const user = server.tls.users.find(({ mechanisms }) => mechanisms.includes('PLAIN'))!
  const principal = `User:${user.username}`
  const asked = async (call: (admin: Acls) => Promise<unknown>): Promise<void> => {
    const brokers = [server.url.slice('kafka://'.length)]
    const admin = new Kafka({ brokers, logCreator: () => () => undefined }).admin()
    await admin.connect()
    try {
      await call(admin)
    } finally {
      await admin.disconnect()
    }
  }
  const login = 'TIDEMARK_BROKERS__DEFAULT'
  return {
    variables: {
      [login]: `kafka://${server.tls.address}?ssl=true`,
      [`${login}__SASL__MECHANISM`]: 'plain',
      [`${login}__SASL__USERNAME`]: user.username,
      [`${login}__SASL__PASSWORD`]: user.password
    },
    env: { NODE_EXTRA_CA_CERTS: server.tls.caPath },
    async revoke() {
      await asked(admin => admin.createAcls({ acl: [{ ...everyTopic, principal }] }))
      return () => asked(admin => admin.deleteAcls({ filters: [{ ...everyTopic, principal }] }))
    },
    [Symbol.asyncDispose]: () => server.stop()
  }
}
