import { parseArgs } from 'node:util'
import { pipeline, processor, type ReplayFrom, type Rewound, type SkipRange } from '../index.ts'
import { brokerOf, connectTo, rawTopic } from './broker.ts'
import { UsageError, type ExitCode, type Terminal } from './terminal.ts'
import { timeOf } from './times.ts'

export const replayUsage = `usage: tidemark replay PIPELINE/STAGE --topic TOPIC... (FROM --state keep|reset | --skip RANGE...) [--broker URL] [--store URL] [--dry-run] [--json]

Sets where a stage that does not run goes on. What comes of it are new records on the topics that it writes. Each task is set in
one commit; what broke off is repeated.

  --topic NAME       what the stage reads; several times for several
  --from PLACE       earliest, latest, or a time as 2026-03-01T12:00:00Z: what the broker got then or later
  --watermark TIME   so far back that nothing is missing from this event time on; what is earlier comes as late
  --after PLACE      behind this record: topic/partition/position, as parked records have it; several times for several partitions
  --state            reset: as if there had never been any state or timers. keep: they stay, and count once more
  --outputs          all: what it reads again it writes again, as new records. new (with reset): a processor writes nothing until
                     it is where it stood. Default all
  --skip RANGE       parked instead of processed, with code skipped: topic/partition/first..last by position, or TIME..TIME by
                     event time, the end not included; several times for several
  --session MS       the sessionTimeout of the pipeline. Default 10000
  --broker           as in connect(). Default: TIDEMARK_BROKERS__DEFAULT
  --store            where the stage commits, as in connect(). Default: TIDEMARK_STORE, else that of connect()
  --dry-run          checks all of it, and changes nothing
  --json             a line of JSON for each partition

Exit code 0: done. 2: wrong call. 3: it runs, or broke off.`

/** `tidemark replay`. */
export async function replayCommand(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      topic: { type: 'string', multiple: true },
      from: { type: 'string' },
      watermark: { type: 'string' },
      after: { type: 'string', multiple: true },
      state: { type: 'string' },
      outputs: { type: 'string' },
      skip: { type: 'string', multiple: true },
      session: { type: 'string' },
      broker: { type: 'string' },
      store: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false }
    }
  })
  const [place, ...others] = positionals
  const [name, stage, ...more] = place?.split('/') ?? []
  if (!name || !stage || more.length > 0 || others.length > 0) throw new UsageError('name one stage: PIPELINE/STAGE')
  if (!values.topic) throw new UsageError('name what the stage reads: --topic NAME')
  const { state, outputs, session, json, 'dry-run': dryRun } = values
  if (state !== undefined && state !== 'keep' && state !== 'reset') throw new UsageError('--state is keep or reset')
  if (outputs !== undefined && outputs !== 'all' && outputs !== 'new') throw new UsageError('--outputs is all or new')
  if (session !== undefined && !(Number(session) > 0)) throw new UsageError('--session is milliseconds, above 0')
  const from = fromOf(values)
  const skip = values.skip?.map(skipOf)
  const url = brokerOf(values, terminal)

  // What the stage does is in the program of the user; here its names are enough.
  const topics = values.topic.map(rawTopic)
  const app = pipeline(name, [processor({ name: stage, from: topics, process: () => undefined })])
  await using client = await connectTo(url, values, terminal)
  const done = await client.admin.replay(app, {
    stages: [stage],
    dryRun,
    ...(from !== undefined && { from }),
    ...(state !== undefined && { state }),
    ...(outputs !== undefined && { outputs }),
    ...(skip && { skip }),
    ...(session !== undefined && { sessionTimeout: Number(session) })
  })
  for (const each of done) terminal.out(json ? JSON.stringify(each) : lineOf(each))
  if (!json) terminal.out(`${done.length} partitions ${dryRun ? 'would be' : 'were'} set`)
  return 0
}

type Values = Readonly<Partial<Record<'from' | 'watermark', string>>> & { readonly after?: readonly string[] }

function fromOf({ from, watermark, after }: Values): ReplayFrom | undefined {
  if ([from, watermark, after].filter(each => each !== undefined).length > 1)
    throw new UsageError('give one of --from, --watermark and --after')
  if (watermark !== undefined) return { watermark: timeOf('watermark', watermark) }
  if (after) return { after: after.map(placeOf) }
  if (from === undefined || from === 'earliest' || from === 'latest') return from
  return { time: timeOf('from', from) }
}

function placeOf(place: string): { topic: string; partition: number; position: string } {
  const [, topicName, partition, position] = /^([^/]+)\/(\d+)\/(.+)$/.exec(place) ?? []
  if (!topicName || !position) throw new UsageError(`'${place}' is no place: give one as topic/partition/position`)
  return { topic: topicName, partition: Number(partition), position }
}

function skipOf(range: string): SkipRange {
  const [first, last, ...more] = range.split('..')
  if (!first || !last || more.length > 0)
    throw new UsageError(`--skip '${range}' is no range: give topic/partition/first..last, or TIME..TIME`)
  if (!first.includes('/')) return { since: timeOf('skip', first), until: timeOf('skip', last) }
  const { topic: topicName, partition, position } = placeOf(first)
  return { topic: topicName, partition, first: position, last }
}

function lineOf({ task, topic: topicName, partition, before, start, rows }: Rewound): string {
  const where =
    typeof start === 'string' ? start : 'time' in start ? new Date(start.time).toISOString() : `after ${start.after}`
  const deleted = rows > 0 ? `, ${rows} rows of state deleted` : ''
  return `${task}: ${topicName}/${partition} from ${before ?? 'nothing'} to ${where}${deleted}`
}
