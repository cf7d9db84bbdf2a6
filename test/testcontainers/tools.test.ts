import { chmod, mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { missingCommand, missingJava, missingMaven, missingOpenssl } from '../../testcontainers/support/tools.ts'

let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'tidemark-tools-'))
  await mkdir(join(home, 'bin'))
  vi.stubEnv('PATH', join(home, 'bin'))
  vi.stubEnv('JAVA_HOME', home)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(home, { recursive: true })
})

async function install(name: string, line: string): Promise<void> {
  const path = join(home, 'bin', name)
  await writeFile(path, `#!/bin/sh\n${line}\n`)
  await chmod(path, 0o755)
}

test('says which tool is missing', async () => {
  expect(await missingJava(17)).toBe('Java 17 or later is needed, but java was not found')
  expect(await missingMaven()).toBe('Maven is needed for the download, but mvn was not found')
  expect(await missingOpenssl()).toBe('openssl is needed for certificates, but it was not found')
  expect(await missingCommand('tar', 'to unpack it')).toBe('tar is needed to unpack it, but it was not found')
  await install('tar', 'exit 0')
  expect(await missingCommand('tar', 'to unpack it')).toBe(undefined)
})

test.skipIf(process.platform === 'win32')('wants Java to be new enough', async () => {
  await install('java', `echo 'openjdk version "17.0.15" 2025-04-15' >&2`)
  expect(await missingJava(17)).toBe(undefined)
  expect(await missingJava(21)).toMatch(/Java 21 or later is needed, but .*java is Java 17/)
  await install('java', `echo 'java version "1.8.0_401"' >&2`)
  expect(await missingJava(17)).toMatch(/is Java 8$/)
  await install('java', `echo nonsense`)
  expect(await missingJava(17)).toMatch(/of an unknown version/)
  await install('java', 'echo broken >&2; exit 1')
  expect(await missingJava(17)).toMatch(/failed \(1\):\nbroken/)
})

test.skipIf(process.platform === 'win32')('is content when the tools are there', async () => {
  await install('mvn', 'exit 0')
  await install('openssl', 'exit 0')
  expect(await missingMaven()).toBe(undefined)
  expect(await missingOpenssl()).toBe(undefined)
})
