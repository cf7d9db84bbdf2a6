/**
 * What every starter in this folder hands back. A server belongs to the process that started it: when that process
 * ends, in whatever way, the server and its data go with it.
 */

/** A user that a secured listener lets in. */
export interface ServerUser {
  readonly username: string
  readonly password: string
  /** The SASL mechanisms that accept this user, as the protocol spells them: `PLAIN`, `SCRAM-SHA-256`, ... */
  readonly mechanisms: readonly string[]
}

/** A listener that asks for TLS and for a user. Plain data: it can be sent to another process. */
export interface SecureListener {
  readonly host: string
  readonly port: number
  /** `host:port`, as client libraries want it in their list of brokers. */
  readonly address: string
  /** File with the certificate of the authority that signed the server's own, in PEM. */
  readonly caPath: string
  /** The same certificate as text. */
  readonly ca: string
  readonly users: readonly ServerUser[]
}

/** A running server. Call one of its methods at a time. */
export interface Server extends AsyncDisposable {
  /** The address in the form that `connect()` takes, such as `kafka://127.0.0.1:19092`. It never changes. */
  readonly url: string
  /** The same server behind TLS and SASL. It never changes. */
  readonly tls: SecureListener
  /** How it runs: a container of the Docker daemon at hand, or a local process. */
  readonly runtime: 'docker' | 'process'
  /** Process id while the server is up; undefined while it is down, and for a container. */
  readonly pid: number | undefined
  /** File that the server logs to; undefined for a container. It goes away with {@link stop}. */
  readonly logFile: string | undefined

  /**
   * Stops the server gracefully if it is up, and starts it again on the same data and ports.
   * Resolves when clients can connect. The process id is a new one.
   * @throws Error with the end of the server's log when it does not come up
   */
  restart(): Promise<void>

  /** Ends the server at once, as a crash would (SIGKILL), and leaves it down until {@link restart}. */
  kill(): Promise<void>

  /** Stops the server gracefully and removes its data. A second call does nothing. */
  stop(): Promise<void>
}
