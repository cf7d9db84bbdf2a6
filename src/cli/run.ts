import { StreamError } from '../index.ts'
import { doctor, doctorUsage } from './doctor.ts'
import { compareCommand, compareUsage } from './compare.ts'
import { redriveCommand, redriveUsage } from './redrive.ts'
import { replayCommand, replayUsage } from './replay.ts'
import { schemaCheck, schemaCheckUsage } from './schema-check.ts'
import { schemaGenerate, schemaGenerateUsage } from './schema-generate.ts'
import { UsageError, type ExitCode, type Terminal } from './terminal.ts'

const commands: Readonly<
  Record<string, { readonly usage: string; run(words: readonly string[], terminal: Terminal): Promise<ExitCode> }>
> = {
  redrive: { usage: redriveUsage, run: redriveCommand },
  replay: { usage: replayUsage, run: replayCommand },
  compare: { usage: compareUsage, run: compareCommand },
  doctor: { usage: doctorUsage, run: doctor },
  'schema check': { usage: schemaCheckUsage, run: schemaCheck },
  'schema generate': { usage: schemaGenerateUsage, run: schemaGenerate }
}

export async function run(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const name = Object.hasOwn(commands, words[0] ?? '') ? words[0]! : words.slice(0, 2).join(' ')
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command) {
    const help = words.length === 0 || words[0] === '--help' || words[0] === 'help'
    if (!help) terminal.error(`tidemark: unknown command '${name}'`)
    for (const { usage } of Object.values(commands)) (help ? terminal.out : terminal.error)(usage)
    return help ? 0 : 2
  }
  if (words.includes('--help')) {
    terminal.out(command.usage)
    return 0
  }
  try {
    return await command.run(words.slice(name.split(' ').length), terminal)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) {
      terminal.error(`tidemark ${name}: ${message}\n${command.usage}`)
      return 2
    }
    terminal.error(`tidemark ${name}: ${message}`)
    return StreamError.is(error) && error.code === 'bad-config' ? 2 : 3
  }
}
