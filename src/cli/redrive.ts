import { parseArgs } from 'node:util'
import type { ParkedRecord, RedriveProgress } from '../index.ts'
import { brokerOf, connectTo, rawTopic } from './broker.ts'
import { UsageError, type ExitCode, type Terminal } from './terminal.ts'
import { timeOf } from './times.ts'

export const redriveUsage = `usage: tidemark redrive TOPIC (--all | FILTER...) [--broker URL] [--store URL] [--dry-run] [--everybody] [--list] [--json]

Sends parked records back to TOPIC, for the stage or group that had given them up. Each is sent once, wherever the command
is broken off and however often it is repeated; what fails again is parked again, and sent again by the next one.

  --all            all of them; else those that every given filter takes:
  --origin PLACE   of one record: topic/partition/position, as it is parked; several times for several
  --by TEXT        the task or group that gave up begins with this: pipeline/stage
  --code CODE      the code of the error is this: handler, bad-record, ...
  --error TEXT     the error contains this
  --since TIME     parked at or after this time, as 2026-03-01T12:00:00Z
  --until TIME     parked before this time
  --broker         as in connect(). Default: TIDEMARK_BROKERS__DEFAULT
  --store          where it commits, as in connect(): that of the pipeline. Default: TIDEMARK_STORE, else that of connect()
  --dry-run        sends nothing, and says how many it would
  --everybody      for all readers of TOPIC: by default the others take it for a repeat
  --list           a line for each record
  --json           a line of JSON for each record (--list) and for the end

Exit code 0: done. 1: no record matches. 2: wrong call. 3: it broke off; repeat it.`

/** `tidemark redrive`. */
export async function redriveCommand(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      all: { type: 'boolean', default: false },
      origin: { type: 'string', multiple: true },
      by: { type: 'string' },
      code: { type: 'string' },
      error: { type: 'string' },
      since: { type: 'string' },
      until: { type: 'string' },
      broker: { type: 'string' },
      store: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      everybody: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false }
    }
  })
  const [name, ...others] = positionals
  if (name === undefined || others.length > 0) throw new UsageError('name one topic')
  const filter = filterOf(values)
  if (filter ? values.all : !values.all) throw new UsageError('give --all, or a filter such as --code handler')
  const url = brokerOf(values, terminal)

  const { 'dry-run': dryRun, everybody, list, json } = values
  await using client = await connectTo(url, values, terminal)
  let told = -Infinity
  const progress = await client.admin.redrive(rawTopic(name), {
    dryRun,
    everybody,
    ...(filter && { filter }),
    ...(list && {
      onRecord: (parked, fate) => terminal.out(json ? JSON.stringify(toJson(parked, fate)) : lineOf(parked, fate))
    }),
    onProgress(each) {
      // Not for each batch: somebody reads it.
      if (performance.now() - told < 1_000) return
      told = performance.now()
      terminal.error(`redrive '${name}': ${sentence(each, dryRun)} (partition ${each.partitions + 1} of ${each.of})`)
    }
  })
  const { found, matched, already, sent } = progress
  terminal.out(
    json ? JSON.stringify({ topic: name, dryRun, found, matched, already, sent }) : `${sentence(progress, dryRun)}`
  )
  return matched === 0 ? 1 : 0
}

type Filters = Readonly<Partial<Record<'by' | 'code' | 'error' | 'since' | 'until', string>>> & {
  readonly origin?: readonly string[] | undefined
}

function filterOf({ origin, by, code, error, since, until }: Filters): ((parked: ParkedRecord) => boolean) | undefined {
  const tests: ((parked: ParkedRecord) => boolean)[] = []
  if (origin) tests.push(parked => origin.includes(parked.origin))
  if (by !== undefined) tests.push(parked => parked.by === by || parked.by.startsWith(`${by}/`))
  if (code !== undefined) tests.push(parked => parked.code === code)
  if (error !== undefined) tests.push(parked => parked.error.includes(error))
  if (since !== undefined) tests.push(after(timeOf('since', since)))
  if (until !== undefined) {
    const isAfter = after(timeOf('until', until))
    tests.push(parked => !isAfter(parked))
  }
  return tests.length === 0 ? undefined : parked => tests.every(test => test(parked))
}

const after =
  (time: number) =>
  ({ at }: ParkedRecord): boolean =>
    (at ?? -Infinity) >= time

function sentence({ found, matched, already, sent }: RedriveProgress, dryRun: boolean): string {
  return `${found} parked, ${matched} match, ${already} sent again before, ${sent} ${dryRun ? 'would be sent' : 'sent'}`
}

function lineOf({ origin, by, code, error, attempts, at }: ParkedRecord, fate: string): string {
  const when = at === undefined ? '' : ` ${new Date(at).toISOString()}`
  return `${fate.padEnd(8)} ${origin}${when} by ${by} after ${attempts}: ${code}: ${error.replaceAll('\n', ' ')}`
}

/** Without the bytes: what is in records is nobody's business here. */
function toJson(
  { origin, by, code, error, stack, attempts, at, schema, redriven }: ParkedRecord,
  fate: string
): object {
  return { fate, origin, by, code, error, stack, attempts, at, schema, redriven }
}
