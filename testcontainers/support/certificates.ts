import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './run.ts'

/** Certificates of a server for `localhost` and 127.0.0.1, signed by an authority of its own. All files are PEM. */
export interface Certificates {
  /** Certificate of the authority: what clients must trust. */
  readonly caPath: string
  readonly ca: string
  /** Private key (PKCS#8) of the server, its certificate and the authority's, in one file. */
  readonly serverPath: string
}

// Complete, because the defaults that openssl would add differ from system to system.
const CONFIGURATION = `[req]
distinguished_name = name
prompt = no
[name]
CN = tidemark test
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
`
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-config', 'openssl.cnf']
const TEN_YEARS = ['-days', '3650']

/**
 * Makes an authority and a server certificate, valid for ten years, in an existing folder.
 * @throws CommandError when `openssl` is missing or fails
 */
export async function makeCertificates(directory: string): Promise<Certificates> {
  const openssl = (...groups: readonly string[][]): Promise<unknown> => run('openssl', groups.flat(), { directory })
  const serial = (): string[] => ['-set_serial', `0x01${randomBytes(8).toString('hex')}`]
  await writeFile(join(directory, 'openssl.cnf'), CONFIGURATION)
  await Promise.all([
    openssl(
      ['req', '-x509', ...NEW_KEY, '-extensions', 'authority', '-subj', '/CN=tidemark test authority'],
      [...serial(), ...TEN_YEARS, '-keyout', 'ca.key', '-out', 'ca.pem']
    ),
    openssl(['req', ...NEW_KEY, '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr'])
  ])
  await openssl(
    ['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', ...serial(), ...TEN_YEARS],
    ['-extfile', 'openssl.cnf', '-extensions', 'server', '-out', 'server.crt']
  )
  const read = (name: string): Promise<string> => readFile(join(directory, name), 'utf8')
  const [key, certificate, ca] = await Promise.all([read('server.key'), read('server.crt'), read('ca.pem')])
  const serverPath = join(directory, 'server.pem')
  await writeFile(serverPath, key + certificate + ca, { mode: 0o600 })
  return { caPath: join(directory, 'ca.pem'), ca, serverPath }
}
