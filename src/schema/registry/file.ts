import { mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { asStreamError, StreamError } from '../../core/errors.ts'
import { systemEnvironment, type Environment } from '../../core/environment.ts'
import { prepareTypes } from './compatibility.ts'
import { embeddedRegistry } from './embedded.ts'
import { fileNameOf, parseRules, parseSubject, printRules, printSubject, rulesFile, subjectOfFile } from './files.ts'
import { withLock } from './lock.ts'
import type { ManagedRegistry } from './managed.ts'
import { emptyState, refuseDoubleIds, type RegistryState, type Subject } from './state.ts'

export interface FileRegistryOptions {
  /** Time for waiting on the lock. Default: the real one. */
  readonly environment?: Environment
}

const lockFile = '.lock'

/**
 * A schema registry in a folder: one JSON file per subject, made to be committed and reviewed. Every change is on the
 * disk when it resolves, and whole or not there at all. Any number of processes of one host may use the folder at a
 * time; a network file system is not safe for several hosts.
 *
 * Errors: `bad-schema`, `corrupt` (a file is no longer what was written, the message names it), `timeout` (another
 * process holds the lock), `connection` (the folder cannot be read or written).
 *
 * @example
 * const client = await connect({ brokers: { default: 'file:./data' }, registry: fileRegistry('./schemas') })
 */
export function fileRegistry(path: string, options: FileRegistryOptions = {}): ManagedRegistry {
  const folder = resolve(path)
  const environment = options.environment ?? systemEnvironment
  let known = new Map<string, KnownFile>()
  let state: RegistryState | undefined

  const refresh = async (): Promise<RegistryState> => {
    const next = await readFolder(folder, known)
    const unchanged =
      state !== undefined && next.size === known.size && [...next].every(([name, file]) => known.get(name) === file)
    if (unchanged) return state!
    const fresh = stateOf(next)
    refuseDoubleIds(fresh, folder)
    known = next
    state = fresh
    return fresh
  }

  return embeddedRegistry({
    name: `file registry ${path}`,
    read: fresh => guard(folder, async () => (fresh || !state ? refresh() : state)),
    update: change =>
      guard(folder, async () => {
        await mkdir(folder, { recursive: true })
        return withLock(join(folder, lockFile), environment, async () => {
          const before = await refresh()
          const { subject, compatibility, result } = change(before)
          if (subject) refuseSameFile(before, subject.subject)
          if (subject) await replace(folder, fileNameOf(subject.subject), printSubject(subject))
          if (compatibility) await replace(folder, rulesFile, printRules(compatibility))
          return result
        })
      })
  })
}

interface KnownFile {
  /** Changes with the content: size, time and inode. A rename gives a new inode. */
  readonly stamp: string
  readonly content: { readonly subject: Subject } | { readonly compatibility: RegistryState['compatibility'] }
}

/** The files as they are now; those that did not change are taken over from `known`, the same objects. */
async function readFolder(folder: string, known: ReadonlyMap<string, KnownFile>): Promise<Map<string, KnownFile>> {
  const files = new Map<string, KnownFile>()
  for (const name of (await namesIn(folder)).sort()) {
    if (name !== rulesFile && subjectOfFile(name) === undefined) continue
    const path = join(folder, name)
    const before = known.get(name)
    const stamp = await stampOf(path)
    if (before?.stamp === stamp) {
      files.set(name, before)
      continue
    }
    const text = await readFile(path, 'utf8')
    if (text.includes('"PROTOBUF"')) await prepareTypes({ type: 'PROTOBUF' })
    const content =
      name === rulesFile ? { compatibility: parseRules(path, text) } : { subject: parseSubject(path, text) }
    files.set(name, { stamp, content })
  }
  return files
}

async function stampOf(path: string): Promise<string> {
  const { size, mtimeNs, ino } = await stat(path, { bigint: true })
  return `${size} ${mtimeNs} ${ino}`
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return []
    throw error
  }
}

function stateOf(files: ReadonlyMap<string, KnownFile>): RegistryState {
  let compatibility = emptyState.compatibility
  const subjects = new Map<string, Subject>()
  for (const { content } of files.values()) {
    if ('subject' in content) subjects.set(content.subject.subject, content.subject)
    else compatibility = content.compatibility
  }
  return { compatibility, subjects }
}

/** Puts a whole file in the place of another: readers see the old one or the new one. */
async function replace(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name)
  // The lock is held, so that one temporary name is enough; what a crash left of it is overwritten.
  const temporary = join(folder, `.${name}.tmp`)
  const file = await open(temporary, 'w')
  try {
    await file.writeFile(text, 'utf8')
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  // Windows has no handle for a folder; there the rename is as durable as the file system makes it.
  if (process.platform === 'win32') return
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** A folder that is committed to git must work where names that differ only in case are one file. */
function refuseSameFile(state: RegistryState, subject: string): void {
  const other = [...state.subjects.keys()].find(
    name => name !== subject && name.toLowerCase() === subject.toLowerCase()
  )
  if (other !== undefined)
    throw new StreamError(
      'bad-config',
      `subject '${subject}' differs from '${other}' in case only, and some file systems would keep both in one file`
    )
}

async function guard<Result>(folder: string, task: () => Promise<Result>): Promise<Result> {
  try {
    return await task()
  } catch (error) {
    if (StreamError.is(error)) throw error
    throw asStreamError(error, 'connection', `schema folder ${folder}`, { retryable: true })
  }
}
