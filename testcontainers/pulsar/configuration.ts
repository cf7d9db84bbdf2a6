/** Where one server listens and where its files are, as the server itself sees them. */
export interface PulsarLayout {
  /** Address to listen on. */
  readonly bind: string
  readonly webPort: number
  readonly webTlsPort: number
  readonly brokerPort: number
  readonly keyPath: string
  readonly certificatePath: string
  readonly caPath: string
  /** See `PulsarPlan`. */
  readonly secret: string | undefined
  readonly adminToken: string | undefined
}

/**
 * Settings of a standalone broker: what is shipped with it, with our ports, certificates and users. Topics are created by
 * using them, as the default is: an adapter has to look before it connects.
 */
export function standaloneConf(
  shipped: string,
  layout: PulsarLayout,
  extra: Readonly<Record<string, string>> = {}
): string {
  const { bind, webPort, webTlsPort, brokerPort, keyPath, certificatePath, caPath, secret, adminToken } = layout
  const settings: Record<string, string | number | boolean> = {
    bindAddress: bind,
    advertisedAddress: '127.0.0.1',
    webServicePort: webPort,
    webServicePortTls: webTlsPort,
    brokerServicePort: brokerPort,
    tlsKeyFilePath: keyPath.replaceAll('\\', '/'),
    tlsCertificateFilePath: certificatePath.replaceAll('\\', '/'),
    tlsTrustCertsFilePath: caPath.replaceAll('\\', '/'),
    webServiceTlsProvider: '',
    webSocketServiceEnabled: true,
    numHttpServerThreads: 8,
    // The storage's client makes no sense of the empty value that is shipped.
    numIOThreads: 4,
    journalSyncData: false,
    // Not for recovery, there is one storage node: its client looks at the nodes before ours registers, and thereby
    // removes what a killed process left. Otherwise the registration of 4.0.8 deletes that itself, is told of it, takes it
    // for a loss and registers again, without end; topics then fail with "Not enough non-faulty bookies".
    autoRecoveryDaemonEnabled: true,
    backlogQuotaCheckIntervalInSeconds: 2,
    // Without these two the storage listens on all addresses.
    allowLoopback: true,
    listeningInterface: bind === '127.0.0.1' ? 'lo' : 'eth0',
    ...(secret !== undefined && {
      authenticationEnabled: true,
      authorizationEnabled: true,
      authenticationProviders: 'org.apache.pulsar.broker.authentication.AuthenticationProviderToken',
      tokenSecretKey: `data:;base64,${secret}`,
      superUserRoles: 'admin',
      brokerClientAuthenticationPlugin: 'org.apache.pulsar.client.impl.auth.AuthenticationToken',
      brokerClientAuthenticationParameters: `token:${adminToken}`
    }),
    ...extra
  }
  const kept = shipped.split('\n').filter(line => !Object.hasOwn(settings, line.split('=')[0]!.trim()))
  return [...kept, ...Object.entries(settings).map(([name, value]) => `${name}=${value}`), ''].join('\n')
}

/** Log settings: warnings, the line that says that the server is up, and who holds what. */
export const LOG4J_PROPERTIES = `rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
logger.broker.name=org.apache.pulsar.broker.PulsarService
logger.broker.level=INFO
logger.locks.name=org.apache.pulsar.metadata.coordination.impl.ResourceLockImpl
logger.locks.level=INFO
`

/**
 * What the server writes when it listens; its first namespace comes a moment later. The first text is followed by all its
 * settings in one line, so that whoever looks at the end of the output may miss it.
 */
export const READY = 'messaging service is ready|created admin with url'

/** Compiles once and quickly: half the time to start, on a server that lives for minutes. */
export const QUICK_START = '-XX:TieredStopAtLevel=1'

/** What Java must be told to let the server run. Source: `bin/pulsar` of 4.0. */
export const JAVA_ARGUMENTS: readonly string[] = [
  '-XX:+UseSerialGC',
  '-XX:-UsePerfData',
  ...[
    'java.base/java.io',
    'java.base/java.util.zip',
    'java.base/java.nio',
    'java.base/jdk.internal.misc',
    'java.base/jdk.internal.platform',
    'java.base/sun.net',
    'java.management/sun.management',
    'jdk.management/com.sun.management.internal'
  ].flatMap(name => ['--add-opens', `${name}=ALL-UNNAMED`]),
  '-Dio.netty.tryReflectionSetAccessible=true',
  '-Djava.net.preferIPv4Stack=true',
  '-Dpulsar.allocator.exit_on_oom=true',
  '-Dlog4j2.is.webapp=false'
]
