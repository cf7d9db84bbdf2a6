import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HealthReport } from './report.ts'

/** Whoever has a health: a `Client`. */
export interface HasHealth {
  health(): HealthReport
}

/**
 * A listener for `node:http` that answers probes: `/live` and `/livez`, `/ready` and `/readyz`, and `/health` and `/healthz` for
 * `ready` with everything. 200 when it is so, 503 when not; the body is JSON and says why, without what handlers have thrown.
 * Other paths are answered with 404, other methods than GET and HEAD with 405.
 *
 * @example
 * createServer(healthListener(client)).listen(8080)
 */
export function healthListener(of: HasHealth): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const { status, body } = answer(of, request.method, request.url)
    response.writeHead(status, headers)
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

/**
 * The same for frameworks that speak Fetch (Hono, `Bun.serve`, `Deno.serve`).
 *
 * @example
 * app.get('/ready', context => healthFetch(client)(context.req.raw))
 */
export function healthFetch(of: HasHealth): (request: Request) => Response {
  return request => {
    const { status, body } = answer(of, request.method, request.url)
    return new Response(request.method === 'HEAD' ? null : body, { status, headers })
  }
}

const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' } as const

/** By the last part of the path, so that the listener can be mounted anywhere. */
const probes: Readonly<Record<string, 'live' | 'ready'>> = {
  live: 'live',
  livez: 'live',
  ready: 'ready',
  readyz: 'ready',
  health: 'ready',
  healthz: 'ready'
}

function answer(
  of: HasHealth,
  method: string | undefined,
  url: string | undefined
): { readonly status: number; readonly body: string } {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: '{}\n' }
  const name = (url ?? '').replace(/[?#].*$/s, '').replace(/^.*\//s, '')
  const probe = Object.hasOwn(probes, name) ? probes[name]! : undefined
  if (probe === undefined) return { status: 404, body: '{}\n' }
  const report = of.health()
  return { status: report[probe] ? 200 : 503, body: `${healthText(report)}\n` }
}

/** A report as JSON. What was thrown is left out: it may hold what a record holds. */
export function healthText({ live, ready, runs, problems }: HealthReport): string {
  return JSON.stringify({ live, ready, runs, problems }, (name, value: unknown) =>
    name === 'error' ? undefined : value
  )
}
