import { StreamError } from '../../core/errors.ts'
import type { SchemaReference } from '../../core/registry.ts'
import { canonicalText, parseCompatibility, type Compatibility } from './compatibility.ts'
import type { RegisteredVersion, Subject } from './state.ts'

/** Holds the rule of the whole folder. No subject has this name: `@` is escaped in those. */
export const rulesFile = '@registry.json'

/** A file name for any subject, the common ones unchanged. */
export function fileNameOf(subject: string): string {
  return `${encodeURIComponent(subject).replace(/^\./, '%2E').replaceAll('*', '%2A')}.json`
}

export function subjectOfFile(name: string): string | undefined {
  if (!name.endsWith('.json') || name.startsWith('.')) return undefined
  try {
    const subject = decodeURIComponent(name.slice(0, -'.json'.length))
    return fileNameOf(subject) === name ? subject : undefined
  } catch {
    return undefined
  }
}

/** Schemas stand in the file as JSON, not as text in a string, so that a review shows which field has changed. */
export function printSubject({ subject, compatibility, versions }: Subject): string {
  const content = {
    subject,
    ...(compatibility && { compatibility }),
    versions: versions.map(({ version, id, type, schema, references }) => ({
      version,
      id,
      type,
      ...(references && { references }),
      schema: type === 'PROTOBUF' ? schema.split('\n') : (JSON.parse(schema) as unknown)
    }))
  }
  return `${JSON.stringify(content, undefined, 2)}\n`
}

export function parseSubject(path: string, text: string): Subject {
  return parseFile(path, text, content => {
    const { subject, compatibility, versions } = content
    if (typeof subject !== 'string' || !Array.isArray(versions)) throw new Error('expected a subject and its versions')
    if (!path.endsWith(fileNameOf(subject)))
      throw new Error(`it holds subject '${subject}', whose file is ${fileNameOf(subject)}`)
    return {
      subject,
      ...(compatibility !== undefined && { compatibility: parseCompatibility(compatibility) }),
      versions: versions.map((version, index) => parseVersion(version as Record<string, unknown>, index))
    }
  })
}

function parseVersion(content: Readonly<Record<string, unknown>>, index: number): RegisteredVersion {
  const { version, id, type, schema, references } = content
  const place = `versions[${index}]`
  if (version !== index + 1) throw new Error(`${place} is not version ${index + 1}`)
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 1 || id > 2 ** 32 - 1)
    throw new Error(`${place} has no id of 1 to 2^32 - 1`)
  if (type !== 'AVRO' && type !== 'JSON' && type !== 'PROTOBUF')
    throw new Error(`${place} has no type of AVRO, JSON, PROTOBUF`)
  if (schema === undefined) throw new Error(`${place} has no schema`)
  const text = type === 'PROTOBUF' && Array.isArray(schema) ? schema.join('\n') : JSON.stringify(schema)
  if (references === undefined) {
    const parsed: RegisteredVersion = { version, id, type, schema: text }
    canonicalText(parsed, false)
    return parsed
  }
  // Those with references are parsed when all files are read.
  if (!Array.isArray(references) || !references.every(isReference))
    throw new Error(`${place} has references that are not a list of { name, subject, version }`)
  return { version, id, type, schema: text, references }
}

function isReference(value: unknown): value is SchemaReference {
  const { name, subject, version } = (value ?? {}) as Record<string, unknown>
  return typeof name === 'string' && typeof subject === 'string' && Number.isInteger(version)
}

export function printRules(compatibility: Compatibility): string {
  return `${JSON.stringify({ compatibility }, undefined, 2)}\n`
}

export function parseRules(path: string, text: string): Compatibility {
  return parseFile(path, text, content => parseCompatibility(content['compatibility']))
}

function parseFile<Content>(path: string, text: string, parse: (content: Record<string, unknown>) => Content): Content {
  try {
    return parse(JSON.parse(text) as Record<string, unknown>)
  } catch (error) {
    throw new StreamError('corrupt', `schema file ${path}: ${(error as Error).message}`, { cause: error })
  }
}
