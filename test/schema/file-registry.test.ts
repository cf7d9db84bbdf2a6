import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemEnvironment } from '../../src/core/environment.ts'
import { fileRegistry } from '../../src/schema/index.ts'
import { failure } from './support.ts'

let folder: string
const children: ChildProcess[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-schemas-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

const script = fileURLToPath(new URL('./registry-process.ts', import.meta.url))

function start(name: string, count: number): ChildProcess {
  const child = fork(script, [folder, name, String(count)], { execArgv: ['--no-warnings'] })
  children.push(child)
  return child
}

const schema = (...fields: object[]): { type: 'AVRO'; schema: string } => ({
  type: 'AVRO',
  schema: JSON.stringify({ type: 'record', name: 'Trade', fields })
})

test('several processes register at the same time: no id twice, no version lost', async () => {
  const finished = ['a', 'b', 'c', 'd'].map(async name => {
    const child = start(name, 15)
    let ids: number[] = []
    child.on('message', (message: { ids?: number[] }) => (ids = message.ids ?? ids))
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).toBe(0)
    return ids
  })
  const answers = await Promise.all(finished)
  const registry = fileRegistry(folder)
  const shared = await registry.versions('shared')
  expect(shared.map(({ version }) => version)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1))
  expect(await registry.versions('same')).toHaveLength(1)
  for (const name of ['a', 'b', 'c', 'd']) expect(await registry.versions(`own-${name}`)).toHaveLength(15)
  // What each process was told is what the folder holds: 60 + 60 + 1 different schemas, numbered without a gap.
  const [same] = await registry.versions('same')
  for (const [index, ids] of answers.entries()) {
    const name = 'abcd'[index]!
    for (let round = 0; round < 15; round++) {
      expect((await registry.byId(ids[round * 3]!)).schema).toContain(`"${name}_${round}"`)
      expect((await registry.byId(ids[round * 3 + 1]!)).schema).toContain(`"${name}_own_${round}"`)
      expect(ids[round * 3 + 2]).toBe(same!.id)
    }
  }
  expect(new Set(answers.flat())).toEqual(new Set(Array.from({ length: 121 }, (_, index) => index + 1)))
}, 60_000)

test('a killed process leaves the folder whole and unlocked', async () => {
  for (let round = 0; round < 4; round++) {
    const child = start(`k${round}`, 10_000)
    let done = -1
    child.on('message', (message: { round?: number }) => (done = message.round ?? done))
    while (done < 3 + round * 5) await once(child, 'message')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const registry = fileRegistry(folder)
    // All that it was told is kept.
    const own = await registry.versions(`own-k${round}`)
    expect(own.length).toBeGreaterThanOrEqual(done + 1)
    expect(own.map(({ version }) => version)).toEqual(own.map((_, index) => index + 1))
    await registry.register('after', schema({ name: `f${round}`, type: 'int', default: 0 }))
  }
}, 60_000)

test('another process sees what was registered, by id too', async () => {
  const [left, right] = [fileRegistry(folder), fileRegistry(folder)]
  await left.register('s', schema({ name: 'a', type: 'int' }))
  expect((await right.latest('s'))?.id).toBe(1)
  await left.register('s', schema({ name: 'b', type: 'int', default: 0 }))
  expect((await right.byId(2)).schema).toContain('"b"')
  await left.setCompatibility('none', 's')
  expect(await right.compatibility('s')).toBe('none')
})

test('the files are made for review: one per subject, one form for one content', async () => {
  const registry = fileRegistry(folder)
  await registry.register('trades-value', {
    type: 'AVRO',
    schema: '{"name":"Trade",\n"type":"record","fields":[{"name":"cents","type":"long"}]}'
  })
  await registry.setCompatibility('full', 'trades-value')
  await registry.setCompatibility('forward')
  expect(await readFile(join(folder, 'trades-value.json'), 'utf8')).toBe(`{
  "subject": "trades-value",
  "compatibility": "full",
  "versions": [
    {
      "version": 1,
      "id": 1,
      "type": "AVRO",
      "schema": {
        "name": "Trade",
        "type": "record",
        "fields": [
          {
            "name": "cents",
            "type": "long"
          }
        ]
      }
    }
  ]
}
`)
  expect(await readFile(join(folder, '@registry.json'), 'utf8')).toBe('{\n  "compatibility": "forward"\n}\n')
  expect((await readdir(folder)).sort()).toEqual(['.lock', '@registry.json', 'trades-value.json'])
})

test('what was edited by hand is checked, and the file is named', async () => {
  const registry = fileRegistry(folder)
  await registry.register('s', schema({ name: 'a', type: 'int' }))
  const path = join(folder, 's.json')
  const good = await readFile(path, 'utf8')
  const broken: Record<string, string> = {
    'not JSON': good.slice(0, 40),
    version: good.replace('"version": 1', '"version": 2'),
    id: good.replace('"id": 1', '"id": 0'),
    type: good.replace('AVRO', 'THRIFT'),
    schema: good.replace('"int"', '"integer"'),
    subject: good.replace('"subject": "s"', '"subject": "t"'),
    empty: ''
  }
  for (const [what, text] of Object.entries(broken)) {
    await writeFile(path, text)
    const error = await failure('corrupt', () => fileRegistry(folder).latest('s'))
    expect(error.message, what).toContain(path)
  }
  await writeFile(path, good)
  expect((await registry.latest('s'))?.id).toBe(1)
  // Two branches that were merged, each with its own schema 1.
  await writeFile(join(folder, 't.json'), good.replace('"subject": "s"', '"subject": "t"').replace('"a"', '"b"'))
  expect((await failure('corrupt', () => fileRegistry(folder).byId(1))).message).toContain(
    "id 1 is one schema in 's' and another in 't'"
  )
})

test('other files do not matter, leftovers of a crash are overwritten', async () => {
  await writeFile(join(folder, 'README.md'), 'schemas')
  await writeFile(join(folder, '.s.json.tmp'), 'half a fi')
  const registry = fileRegistry(folder)
  await registry.register('s', schema({ name: 'a', type: 'int' }))
  expect(await registry.subjects()).toEqual(['s'])
  expect((await readdir(folder)).sort()).toEqual(['.lock', 'README.md', 's.json'])
})

test('subjects that differ in case only are refused', async () => {
  const registry = fileRegistry(folder)
  await registry.register('Trades', schema({ name: 'a', type: 'int' }))
  await failure('bad-config', () => registry.register('trades', schema({ name: 'a', type: 'int' })))
})

test('a folder that cannot be used is a connection error', async () => {
  await writeFile(join(folder, 'file'), '')
  const error = await failure('connection', () => fileRegistry(join(folder, 'file')).latest('s'))
  expect(error.retryable).toBe(true)
  await failure('connection', () =>
    fileRegistry(join(folder, 'file')).register('s', schema({ name: 'a', type: 'int' }))
  )
})

test('a lock that is never free ends in a timeout', async () => {
  const { DatabaseSync } = await import('node:sqlite')
  const holder = new DatabaseSync(join(folder, '.lock'))
  holder.exec('BEGIN EXCLUSIVE')
  // Time runs by itself: each look at the clock is a second later.
  let now = 0
  const environment = {
    ...systemEnvironment,
    monotonic: () => (now += 1000),
    random: () => 0,
    timer: (_delay: number, task: () => void) => {
      setImmediate(task)
      return { cancel: () => {} }
    }
  }
  const error = await failure('timeout', () =>
    fileRegistry(folder, { environment }).register('s', schema({ name: 'a', type: 'int' }))
  )
  expect(error.retryable).toBe(true)
  holder.exec('ROLLBACK')
  holder.close()
  await fileRegistry(folder, { environment }).register('s', schema({ name: 'a', type: 'int' }))
})
