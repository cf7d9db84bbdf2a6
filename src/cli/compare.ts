import { parseArgs } from 'node:util'
import type { Difference } from '../index.ts'
import { brokerOf, connectTo, rawTopic } from './broker.ts'
import { UsageError, type ExitCode, type Terminal } from './terminal.ts'

export const compareUsage = `usage: tidemark compare LEFT RIGHT [--last] [--list] [--json] [--broker URL]

Compares two topics by key, by the bytes of their values, from their beginnings to what is there now: with a shadow of a pipeline, what its new
version writes with what the old one wrote. What a relay has sent twice counts once.

  --last     the last record of each key alone, as of a table. Default: all of them, in the order of the key
  --list     a line for each difference
  --json     a line of JSON for each difference (--list) and for the end
  --broker   as in connect(). Default: TIDEMARK_BROKERS__DEFAULT

Exit code 0: they are the same. 1: they differ. 2: wrong call. 3: it broke off.`

/** `tidemark compare`. */
export async function compareCommand(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      last: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      broker: { type: 'string' }
    }
  })
  const [left, right, ...others] = positionals
  if (left === undefined || right === undefined || others.length > 0) throw new UsageError('name two topics')
  const url = brokerOf(values, terminal)
  const { last, list, json } = values
  await using client = await connectTo(url, values, terminal)
  const found = await client.admin.compare(rawTopic(left), rawTopic(right), {
    records: last ? 'last' : 'all',
    ...(list && { onDifference: each => terminal.out(json ? JSON.stringify(toJson(each)) : lineOf(each)) })
  })
  const { same, missing, extra, different } = found
  terminal.out(
    json
      ? JSON.stringify({ topics: [left, right], ...found })
      : `${found.left} and ${found.right} records: ${same} the same, ${missing} missing, ${extra} extra, ${different} different`
  )
  return missing + extra + different === 0 ? 0 : 1
}

/** Without the bytes of values: what is in records is nobody's business here. */
function toJson({ kind, partition, key, left, right }: Difference): object {
  return { kind, partition, key: textOf(key), left: left?.position, right: right?.position }
}

function lineOf(difference: Difference): string {
  const { kind, partition, key, left, right } = difference
  return `${kind.padEnd(9)} ${textOf(key) ?? 'no key'} in partition ${partition}: at ${left?.position ?? '-'} and ${right?.position ?? '-'}`
}

const textOf = (key: unknown): string | null => (key === null ? null : Buffer.from(key as Uint8Array).toString('utf8'))
