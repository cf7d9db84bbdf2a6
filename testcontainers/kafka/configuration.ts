import type { ServerUser } from '../server.ts'

/** The users of every Kafka test server. They guard nothing but test data on the loopback address. */
export const KAFKA_USERS: { readonly alice: ServerUser; readonly bob: ServerUser } = {
  alice: { username: 'alice', password: 'alice-secret', mechanisms: ['PLAIN'] },
  bob: { username: 'bob', password: 'bob-secret', mechanisms: ['SCRAM-SHA-256', 'SCRAM-SHA-512'] }
}

/** Where one server listens and where its files are, as the server itself sees them. */
export interface KafkaLayout {
  /** Address to listen on. */
  readonly bind: string
  /** Port without encryption and users. */
  readonly plainPort: number
  /** Port with TLS and SASL. */
  readonly securePort: number
  /** Port of the controller, for the server's own use. */
  readonly controllerPort: number
  /** Folder of the data. */
  readonly data: string
  /** Key and certificates in one PEM file. */
  readonly certificates: string
}

/**
 * Settings of a broker and controller in one process: one copy of everything, quick to start, to rebalance and to come
 * back after a crash. Topics are not made by using them. Records are kept whatever event time they carry.
 */
export function kafkaProperties(layout: KafkaLayout, extra: Readonly<Record<string, string>> = {}): string {
  const { bind, plainPort, securePort, controllerPort, data, certificates } = layout
  const { alice } = KAFKA_USERS
  const sasl = 'org.apache.kafka.common.security'
  const properties: Record<string, string | number | boolean> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://${bind}:${plainPort},SASL_SSL://${bind}:${securePort},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${plainPort},SASL_SSL://127.0.0.1:${securePort}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL',
    'log.dirs': data.replaceAll('\\', '/'),

    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'min.insync.replicas': 1,

    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1_000,
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 1_000,
    'auto.create.topics.enable': false,
    'log.retention.ms': -1,
    'log.segment.bytes': 67_108_864,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
    'num.network.threads': 2,
    'num.io.threads': 2,

    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl_ssl.ssl.keystore.type': 'PEM',
    'listener.name.sasl_ssl.ssl.keystore.location': certificates.replaceAll('\\', '/'),
    // Whom it trusts where clients have to show a certificate: those of its own authority.
    'listener.name.sasl_ssl.ssl.truststore.type': 'PEM',
    'listener.name.sasl_ssl.ssl.truststore.location': certificates.replaceAll('\\', '/'),
    'listener.name.sasl_ssl.ssl.client.auth': 'none',
    'listener.name.sasl_ssl.plain.sasl.jaas.config': `${sasl}.plain.PlainLoginModule required user_${alice.username}="${alice.password}";`,
    'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': `${sasl}.scram.ScramLoginModule required;`,
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': `${sasl}.scram.ScramLoginModule required;`,
    ...extra
  }
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`)
  return lines.join('')
}

/** Settings of the controller without its broker, on the same data: it takes the broker for dead at once. */
export function controllerProperties({ controllerPort, data }: KafkaLayout): string {
  return `process.roles=controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:${controllerPort}
log.dirs=${data.replaceAll('\\', '/')}
broker.session.timeout.ms=500
broker.heartbeat.interval.ms=100
`
}

/** Arguments of Kafka's storage tool that make an empty data folder for a new cluster, with the SCRAM users in it. */
export function formatArguments(clusterId: string, propertiesPath: string): string[] {
  const { bob } = KAFKA_USERS
  const scram = bob.mechanisms.flatMap(mechanism => [
    '--add-scram',
    `${mechanism}=[name=${bob.username},password=${bob.password}]`
  ])
  return ['format', '--ignore-formatted', '-t', clusterId, '-c', propertiesPath, ...scram]
}

/** Log settings: warnings, and the lines that say that the server is up and that the controller takes a broker for dead. */
export const LOG4J_PROPERTIES = `rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
logger.replication.name=org.apache.kafka.controller.ReplicationControlManager
logger.replication.level=INFO
`

/** What the server writes when clients can connect. */
export const READY = 'Kafka Server started'

/** What the controller writes when the session of the broker that was killed has ended. */
export const FENCED = 'Fencing broker 1 .* because its session has timed out'
