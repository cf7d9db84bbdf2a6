import { Session, type Profiler } from 'node:inspector'

/** Where the processor time of this process went, as shares of all of it that was not idle. */
export interface Shares {
  /** Event time: trackers, membership, timers, vitals, health. */
  readonly watermarks: number
  /** Reading and writing stamps: who, which one, when, and how far. */
  readonly stamps: number
  readonly samples: number
}

const parts = {
  watermarks:
    /\/src\/(?:watermark\/|pipeline\/(?:vitals-|task-health|event-clock|producer-reports|completion|deafness|guard))/,
  stamps: /\/src\/core\/stamp\.ts/
} as const

/** Runs something with a sampling profiler. */
export async function profiled<Result>(run: () => Promise<Result>): Promise<readonly [Result, Shares]> {
  const session = new Session()
  session.connect()
  const post = (method: string, parameters: object = {}): Promise<any> =>
    new Promise((resolve, reject) =>
      session.post(method, parameters, (error: Error | null, result: unknown) =>
        error ? reject(error) : resolve(result)
      )
    )
  await post('Profiler.enable')
  await post('Profiler.setSamplingInterval', { interval: 200 })
  await post('Profiler.start')
  try {
    const result = await run()
    const { profile } = (await post('Profiler.stop')) as { profile: Profiler.Profile }
    return [result, sharesOf(profile)]
  } finally {
    session.disconnect()
  }
}

/** What runs inside V8 and Node (maps, buffers, JSON) counts for the function of ours that called it. */
function sharesOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Shares {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const parents = new Map<number, number>()
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id)
  const time = new Map<number, number>()
  samples.forEach((id, index) => time.set(id, (time.get(id) ?? 0) + (timeDeltas[index] ?? 0)))
  const found = { watermarks: 0, stamps: 0 }
  let all = 0
  for (const [id, spent] of time) {
    if (byId.get(id)!.callFrame.functionName === '(idle)') continue
    all += spent
    let at: number | undefined = id
    while (at !== undefined && !isOurs(byId.get(at)!)) at = parents.get(at)
    const url = at === undefined ? '' : byId.get(at)!.callFrame.url
    for (const [name, pattern] of Object.entries(parts))
      if (pattern.test(url)) found[name as keyof typeof found] += spent
  }
  return { watermarks: found.watermarks / all, stamps: found.stamps / all, samples: samples.length }
}

const isOurs = ({ callFrame: { url } }: Profiler.ProfileNode): boolean => url.startsWith('file:')
