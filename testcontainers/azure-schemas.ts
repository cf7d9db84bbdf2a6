/**
 * A stand-in for Azure Schema Registry, for tests: the requests of its data plane (2023-07-01) that Microsoft's client makes, in
 * this process, on the loopback address, over TLS (that client gives its token to nobody else), in memory.
 *
 * ```ts
 * import { startAzureSchemas } from '../testcontainers/azure-schemas.ts'
 *
 * await using server = await startAzureSchemas({ groups: ['orders'], token: 'secret' })
 * server.url                                   // https://127.0.0.1:20123
 * server.ca                                    // what clients must trust
 * ```
 *
 * There is no server of Microsoft's to be had. What this one knows is read from `@azure/schema-registry` 1.3: paths, media
 * types, and the headers of answers. It checks no compatibility: the service does, by a rule of the group that its portal sets.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates } from './support/certificates.ts'
import { missingOpenssl } from './support/tools.ts'

export interface AzureSchemas extends AsyncDisposable {
  readonly url: string
  readonly ca: string
  /** Paths that were asked for, with their methods. */
  readonly requests: readonly string[]
  /** Answers everything with 503 while it is true. */
  down: boolean
  stop(): Promise<void>
}

export interface AzureSchemasOptions {
  /** The schema groups that are there: nobody can create one by this API. */
  readonly groups: readonly string[]
  /** Requests without it are refused. */
  readonly token?: string
}

interface Version {
  readonly id: string
  readonly group: string
  readonly name: string
  readonly version: number
  readonly mediaType: string
  readonly text: string
}

const mediaTypes = ['application/json; serialization=Avro', 'application/json; serialization=Json']
const paths = {
  byId: /^\/\$schemaGroups\/\$schemas\/([^/]+)$/,
  schema: /^\/\$schemaGroups\/([^/]+)\/schemas\/([^/:]+)$/,
  find: /^\/\$schemaGroups\/([^/]+)\/schemas\/([^/]+):get-id$/,
  versions: /^\/\$schemaGroups\/([^/]+)\/schemas\/([^/]+)\/versions$/,
  version: /^\/\$schemaGroups\/([^/]+)\/schemas\/([^/]+)\/versions\/(\d+)$/
}

/** Says in one sentence why it cannot be started on this machine; undefined when it can. */
export async function azureSchemasAvailable(): Promise<string | undefined> {
  const reason = await missingOpenssl()
  return reason && `the stand-in for Azure Schema Registry cannot be started: ${reason}`
}

/** Resolves when clients can connect. */
export async function startAzureSchemas({ groups, token }: AzureSchemasOptions): Promise<AzureSchemas> {
  const all: Version[] = []
  const requests: string[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url!, 'http://localhost')
    const path = decodeURIComponent(url.pathname)
    requests.push(`${request.method} ${path}`)
    const body = await textOf(request)
    const refuse = (status: number, code: string, message: string): void =>
      void response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: { code, message } }))
    if (double.down) return refuse(503, 'ServiceUnavailable', 'down')
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`)
      return refuse(401, 'Unauthorized', 'The request is not authorized')
    if (!url.searchParams.has('api-version')) return refuse(400, 'InvalidRequest', 'api-version is missing')
    const mediaType = mediaTypes.find(
      each => each.replace(' ', '') === request.headers['content-type']?.replaceAll(' ', '')
    )
    const found = (known: Version | undefined, status: 200 | 204): void => {
      if (!known) return refuse(404, 'ItemNotFound', 'Schema not found')
      response.writeHead(status, {
        'schema-id': known.id,
        'schema-group-name': known.group,
        'schema-name': known.name,
        'schema-version': String(known.version),
        ...(status === 200 && { 'content-type': known.mediaType })
      })
      response.end(status === 200 ? known.text : undefined)
    }
    const match = (pattern: RegExp, method: string): RegExpExecArray | null =>
      request.method === method ? pattern.exec(path) : null
    const versionsOf = (group: string, name: string): Version[] =>
      all.filter(version => version.group === group && version.name === name)

    const byId = match(paths.byId, 'GET')
    if (byId)
      return found(
        all.find(({ id }) => id === byId[1]),
        200
      )
    const one = match(paths.version, 'GET')
    if (one) return found(versionsOf(one[1]!, one[2]!)[Number(one[3]) - 1], 200)
    const many = match(paths.versions, 'GET')
    if (many) {
      const versions = versionsOf(many[1]!, many[2]!)
      if (versions.length === 0) return refuse(404, 'ItemNotFound', 'Schema not found')
      response.writeHead(200, { 'content-type': 'application/json' })
      return void response.end(JSON.stringify({ Value: versions.map(({ version }) => version) }))
    }
    const find = match(paths.find, 'POST')
    const put = match(paths.schema, 'PUT')
    const [, group = '', name = ''] = find ?? put ?? []
    if (!find && !put) return refuse(404, 'ResourceNotFound', path)
    if (!groups.includes(group)) return refuse(404, 'ItemNotFound', `Schema group ${group} not found`)
    if (!mediaType) return refuse(415, 'InvalidSchemaType', 'Unsupported media type')
    try {
      JSON.parse(body)
    } catch {
      return refuse(400, 'InvalidSchema', 'The schema is no JSON')
    }
    const earlier = versionsOf(group, name)
    const same = earlier.find(version => version.text === body && version.mediaType === mediaType)
    if (find || same) return found(same, 204)
    const id = randomUUID().replaceAll('-', '')
    all.push({ id, group, name, version: earlier.length + 1, mediaType, text: body })
    found(all.at(-1), 204)
  }
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-azure-'))
  const { ca, serverPath } = await makeCertificates(directory)
  const pem = await readFile(serverPath)
  await rm(directory, { recursive: true, force: true })
  const listener = (request: IncomingMessage, response: ServerResponse): void => void answer(request, response)
  const server = createServer({ key: pem, cert: pem }, listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    if (server.listening) await new Promise(resolve => server.close(resolve))
  }
  const double: AzureSchemas = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca,
    requests,
    down: false,
    stop,
    [Symbol.asyncDispose]: stop
  }
  return double
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
