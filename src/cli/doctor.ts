import { readFile } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { examine, type DoctorConfig, type Finding } from '../index.ts'
import { UsageError, type ExitCode, type Terminal } from './terminal.ts'

export const doctorUsage = `usage: tidemark doctor CONFIG [--topic NAME]... [--json]
       tidemark doctor --broker URL [--topic NAME]... [--json]

Connects to everything that a configuration names, and says what breaks a guarantee and what to change: options, reachable
brokers and stores, rights, and settings of topics (compaction, retention, expiry, dead letters of the broker, time-outs of
transactions). It writes nothing, but that a store makes its tables.

CONFIG is a module whose default export is the options of connect(), with \`pipelines\` (a list) and \`run\` (options of
client.run) beside them, or a .json file with the options of connect(). TIDEMARK_ variables count as they do for connect().

  --broker   a broker by its URL, in place of a file
  --topic    one more topic to look at
  --json     one JSON object: { ok, findings }

Exit code 0: no errors. 1: at least one. 2: wrong call, or a file that cannot be read.`

/** `tidemark doctor`. */
export async function doctor(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      broker: { type: 'string' },
      topic: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false }
    }
  })
  if ((positionals.length === 1) === (values.broker !== undefined))
    throw new UsageError('name one file, or a broker by --broker')
  const given = values.broker === undefined ? await load(positionals[0]!) : { brokers: { default: values.broker } }
  const { variables } = terminal
  const findings = await examine({ variables, ...given, check: [...(given.check ?? []), ...values.topic] })
  const isFine = !findings.some(({ severity }) => severity === 'error')
  if (values.json) terminal.out(JSON.stringify({ ok: isFine, findings }))
  else print(findings, terminal)
  return isFine ? 0 : 1
}

async function load(file: string): Promise<DoctorConfig> {
  let found: unknown
  try {
    if (extname(file) === '.json') found = JSON.parse(await readFile(file, 'utf8'))
    else found = ((await import(pathToFileURL(resolve(file)).href)) as { default?: unknown }).default
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    // The text of a parser quotes what it could not read.
    throw new UsageError(
      `'${file}' cannot be read: ${extname(file) === '.json' && code === undefined ? 'it is no JSON' : message}`
    )
  }
  if (typeof found === 'object' && found !== null && 'brokers' in found) return found as DoctorConfig
  throw new UsageError(`'${file}' has no default export with \`brokers\` in it`)
}

const signs = { error: 'ERROR  ', warning: 'warning', ok: 'ok     ' } as const

function print(findings: readonly Finding[], { out }: Terminal): void {
  for (const { severity, where, what, fix } of findings) {
    out(`${signs[severity]} ${where}: ${what}`)
    if (fix !== undefined) out(`        -> ${fix}`)
  }
  const count = (severity: Finding['severity']): number =>
    findings.filter(finding => finding.severity === severity).length
  out(`${count('error')} errors, ${count('warning')} warnings, ${count('ok')} in order`)
}
