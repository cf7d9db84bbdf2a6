import { join } from 'node:path'
import { CommandError, run } from './run.ts'

/** The `java` to run: that of `JAVA_HOME` when it is set, else the one on the path. */
export function javaCommand(): string {
  const { JAVA_HOME } = process.env
  return JAVA_HOME ? join(JAVA_HOME, 'bin', 'java') : 'java'
}

/** Says in half a sentence what is wrong with Java for something that needs at least that version. */
export async function missingJava(version: number): Promise<string | undefined> {
  const need = `Java ${version} or later is needed`
  const output = await tryRun(javaCommand(), '-version')
  if (output instanceof CommandError) return `${need}, but ${output.missing ? 'java was not found' : output.message}`
  // Java 8 and before call themselves 1.8 and so on.
  const found = /version "(?:1\.)?(\d+)/.exec(output)?.[1]
  if (found && Number(found) >= version) return undefined
  return `${need}, but ${javaCommand()} is ${found ? `Java ${found}` : 'of an unknown version'}`
}

/** Says in half a sentence what is wrong with Maven. */
export async function missingMaven(): Promise<string | undefined> {
  const output = await tryRun('mvn', '-v')
  if (!(output instanceof CommandError)) return undefined
  return `Maven is needed for the download, but ${output.missing ? 'mvn was not found' : output.message}`
}

/** Says in half a sentence what is wrong with openssl. */
export async function missingOpenssl(): Promise<string | undefined> {
  const output = await tryRun('openssl', 'version')
  if (!(output instanceof CommandError)) return undefined
  return `openssl is needed for certificates, but ${output.missing ? 'it was not found' : output.message}`
}

/** Says in half a sentence that a command is not there. `use`: `to unpack it`. */
export async function missingCommand(command: string, use: string): Promise<string | undefined> {
  const output = await tryRun(command, '--version')
  if (!(output instanceof CommandError)) return undefined
  return `${command} is needed ${use}, but ${output.missing ? 'it was not found' : output.message}`
}

async function tryRun(command: string, argument: string): Promise<string | CommandError> {
  try {
    const { stdout, stderr } = await run(command, [argument])
    return stdout + stderr
  } catch (error) {
    if (error instanceof CommandError) return error
    throw error
  }
}
