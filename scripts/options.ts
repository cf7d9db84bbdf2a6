import { readFileSync } from 'node:fs'
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'

type Given<Options extends ParseArgsOptionsConfig> = ReturnType<typeof parseArgs<{ options: Options }>>['values']

/**
 * What a command was given. Its usage is the comment at the top of its file: `--help` prints it, and what cannot be understood ends the
 * process with code 2 and says why.
 *
 * @param command `import.meta.url` of the file
 */
export function commandLine<const Options extends ParseArgsOptionsConfig>(
  command: string,
  options: Options,
  allowPositionals: boolean = false
): { readonly values: Given<Options>; readonly positionals: readonly string[] } {
  try {
    const { values, positionals } = parseArgs({ allowPositionals, options: { ...options, help: { type: 'boolean' } } })
    if (!('help' in values)) return { values: values as Given<Options>, positionals }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usageOf(command)}`)
    process.exit(2)
  }
  console.log(usageOf(command))
  process.exit(0)
}

/** `commandLine` for a command that takes options alone. */
export function optionsOf<const Options extends ParseArgsOptionsConfig>(
  command: string,
  options: Options
): Given<Options> {
  return commandLine(command, options).values
}

function usageOf(command: string): string {
  const [, comment = ''] = /\/\*\*(.*?)\*\//s.exec(readFileSync(new URL(command), 'utf8')) ?? []
  return comment.replace(/^ *\* ?/gm, '').trim()
}
