import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A Kinesis between clients and a local one that refuses requests as AWS does when a shard is over its limit. */
export class ThrottlingProxy implements AsyncDisposable {
  /** Share of the puts and looks that are refused, 0 to 1. */
  share = 0
  refused = 0
  passed = 0
  readonly endpoint: string
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** @param target `http://127.0.0.1:4568` */
  static async start(target: string): Promise<ThrottlingProxy> {
    const server = createServer({ keepAliveTimeout: 60_000 })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const proxy = new ThrottlingProxy(server)
    server.on('request', (incoming: IncomingMessage, outgoing: ServerResponse) =>
      proxy.#pass(target, incoming, outgoing)
    )
    return proxy
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #pass(target: string, incoming: IncomingMessage, outgoing: ServerResponse): void {
    const name = String(incoming.headers['x-amz-target']).split('.').at(-1)!
    if (['PutRecord', 'PutRecords', 'GetRecords'].includes(name) && Math.random() < this.share) {
      this.refused++
      incoming.resume().on('end', () => {
        outgoing.writeHead(400, { 'content-type': 'application/x-amz-json-1.1' })
        outgoing.end(
          JSON.stringify({ __type: 'ProvisionedThroughputExceededException', message: 'Rate exceeded for shard' })
        )
      })
      return
    }
    this.passed++
    const { method, url, headers } = incoming
    const asked = request(`${target}${url}`, { method, headers }, answer => {
      outgoing.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(outgoing)
    })
    asked.on('error', () => outgoing.destroy())
    outgoing.on('close', () => asked.destroy())
    incoming.pipe(asked)
  }
}
