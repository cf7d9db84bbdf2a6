import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { connect, examine, pipeline, processor, text, topic, type Finding, type Pipeline } from '../../src/index.ts'
import { unusedPort } from '../testing/harnesses.ts'

const unique = (name: string): string => `${name}-${Math.random().toString(36).slice(2, 10)}`

const copy = (from: string, to: string, partitions?: number): Pipeline => {
  const define = (name: string): ReturnType<typeof topic> =>
    topic(name, { key: text, value: text, ...(partitions !== undefined && { partitions }) }) as never
  return pipeline('doctored', [
    processor({ name: 'copy', from: define(from), to: define(to), process: record => record as never })
  ])
}

const lines = (findings: readonly Finding[], severity: Finding['severity']): string[] =>
  findings.filter(finding => finding.severity === severity).map(({ where, what }) => `${where}: ${what}`)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-doctor-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('the doctor on a folder', () => {
  it('finds nothing wrong where nothing is, and makes no topic', async () => {
    const config = { brokers: { default: `file:${folder}` }, variables: {}, pipelines: [copy('left', 'right', 2)] }
    const findings = await examine(config)
    expect(lines(findings, 'error')).toEqual([])
    expect(lines(findings, 'warning')).toEqual([])
    expect(lines(findings, 'ok')).toContain("topic 'left' on 'default': is not there; run makes it with 2 partitions")
    await using client = await connect({ brokers: config.brokers, variables: {} })
    expect(await client.admin.describe(topic('left', { value: text }))).toBeUndefined()
  })

  it('finds what is missing, what does not agree, and what loses records', async () => {
    const brokers = { default: { adapter: 'file', path: folder, synchronous: 'normal' } } as const
    {
      await using client = await connect({ brokers, variables: {} })
      await client.admin.create(topic('left', { value: text }), { partitions: 3, settings: { retentionTime: '60000' } })
      await client.admin.create(topic('table', { value: text }), { partitions: 2, compacted: true })
    }
    const findings = await examine({ brokers, variables: {}, pipelines: [copy('left', 'right')], check: ['table'] })
    expect(lines(findings, 'error')).toEqual([
      "topic 'left' on 'default': a record is gone 60 s after it was written, read or not (retentionTime)",
      "topic 'left' on 'default': acknowledged records can be lost when a server fails (synchronous)",
      "topic 'right' on 'default': is not there",
      expect.stringContaining("topic 'table' on 'default': it is compacted (compacted)"),
      "topic 'table' on 'default': acknowledged records can be lost when a server fails (synchronous)"
    ])
    expect(findings.every(({ severity, fix }) => (severity === 'ok') === (fix === undefined))).toBe(true)
    const other = await examine({ brokers, variables: {}, pipelines: [copy('left', 'table', 2)] })
    expect(lines(other, 'error')).toContain("topic 'left' on 'default': has 3 partitions, its definition says 2")
  })

  it('tells of every mistake in the options, of brokers that do not answer, and of a store that is away', async () => {
    expect(
      lines(await examine({ brokers: { default: 'file:' }, stroe: 'x', variables: {} } as never), 'error')
    ).toEqual([expect.stringContaining("unknown option 'stroe'"), expect.stringContaining("'file:' names no folder")])
    const port = await unusedPort()
    const findings = await examine({
      brokers: { default: `file:${folder}`, away: `kafka://127.0.0.1:${port}` },
      store: `postgres://ann:hunter2@127.0.0.1:${port}/none?connectTimeout=500`,
      variables: { TIDEMARK_RUN__COMIT_INTERVAL: '5' }
    })
    expect(lines(findings, 'error').map(line => line.slice(0, 14))).toEqual(["broker 'away':", 'store: postgre'])
    expect(lines(findings, 'warning')).toEqual([
      'variable TIDEMARK_RUN__COMIT_INTERVAL: has no effect: there is no such option'
    ])
    expect(JSON.stringify(findings)).not.toContain('hunter2')
  })
})

describe('tidemark doctor', () => {
  const tidemark = async (...words: string[]): Promise<[number, string, string]> => {
    const [out, errors]: [string[], string[]] = [[], []]
    const code = await run(['doctor', ...words], {
      out: line => out.push(line),
      error: line => errors.push(line),
      variables: {}
    })
    return [code, out.join('\n'), errors.join('\n')]
  }

  it('takes a module with pipelines, and ends with 1 when a guarantee is broken', async () => {
    const url = `file:${folder}/data`
    const file = join(folder, 'service.ts')
    const index = new URL('../../src/index.ts', import.meta.url).href
    await writeFile(
      file,
      `import { pipeline, processor, text, topic } from '${index}'
const [left, right] = ['left', 'right'].map(name => topic(name, { key: text, value: text }))
export default {
  brokers: { default: '${url}' },
  pipelines: [pipeline('p', [processor({ name: 'copy', from: left, to: right, process: record => record })])]
}\n`
    )
    const [code, out] = await tidemark(file)
    expect(code).toBe(1)
    expect(out).toContain("ERROR   topic 'left' on 'default': is not there\n        -> create it")
    expect(out).toMatch(/\n2 errors, 0 warnings, \d+ in order$/)
  })

  it('takes a JSON file or a URL, and answers in JSON', async () => {
    const file = join(folder, 'service.json')
    await writeFile(file, JSON.stringify({ brokers: { default: `file:${folder}/data` } }))
    const [code, out] = await tidemark(file, '--json')
    expect([code, JSON.parse(out)]).toMatchObject([
      0,
      { ok: true, findings: [{ severity: 'ok' }, { severity: 'ok' }, { severity: 'ok' }] }
    ])
    const [other, said] = await tidemark('--broker', `file:${folder}/data`, '--topic', 'nowhere')
    expect(other).toBe(1)
    expect(said).toContain("ERROR   topic 'nowhere' on 'default': is not there")
  })

  it('says what is wrong with the call', async () => {
    expect((await tidemark())[0]).toBe(2)
    expect((await tidemark('nowhere.json'))[0]).toBe(2)
    await writeFile(join(folder, 'broken.json'), '{ "password": "hunter2" ')
    const [code, , errors] = await tidemark(join(folder, 'broken.json'))
    expect(code).toBe(2)
    expect(errors).toContain('it is no JSON')
    expect(errors).not.toContain('hunter2')
    await writeFile(join(folder, 'empty.json'), '{}')
    expect((await tidemark(join(folder, 'empty.json')))[2]).toContain('has no default export with `brokers` in it')
  })
})

const kafka = inject('kafka')
describe.runIf(kafka.state === 'running')(
  `the doctor on kafka${kafka.state === 'running' ? '' : ` (not run: ${kafka.reason})`}`,
  () => {
    it('finds compaction, short retention, and time-outs that the broker refuses', { timeout: 60_000 }, async () => {
      const brokers = { default: kafka.state === 'running' ? kafka.url : '' }
      const [sound, compacted, short] = [unique('sound'), unique('compacted'), unique('short')]
      {
        await using client = await connect({ brokers, variables: {} })
        const create = (name: string, settings: Record<string, string>): Promise<void> =>
          client.admin.create(topic(name, { value: text }), { partitions: 1, settings })
        await create(sound, { 'retention.ms': '-1' })
        await create(compacted, { 'cleanup.policy': 'compact' })
        await create(short, { 'retention.ms': '60000', 'unclean.leader.election.enable': 'true' })
      }
      const findings = await examine({
        brokers: { default: { adapter: 'kafka', brokers: [brokers.default.slice(8)], transactionTimeout: 3_600_000 } },
        run: { sessionTimeout: 500 },
        variables: {},
        check: [sound, compacted, short]
      })
      expect(lines(findings, 'error')).toEqual([
        "broker 'default': transactions of 60 minutes are asked for, and 15 minutes is the most that is allowed (transaction.max.timeout.ms)",
        expect.stringMatching(/^broker 'default': sessionTimeout is 500 ms, and the broker allows 1000 to 1800000 /),
        expect.stringContaining(`topic '${compacted}' on 'default': it is compacted (cleanup.policy)`),
        expect.stringContaining(
          `topic '${short}' on 'default': a record is gone 60 s after it was written, read or not (retention.ms)`
        ),
        expect.stringContaining(`topic '${short}' on 'default': acknowledged records can be lost when a server fails`)
      ])
      // One server, one copy.
      expect(lines(findings, 'warning').filter(line => line.includes(sound))).toEqual([
        `topic '${sound}' on 'default': there is one copy of it: it is lost with its disk`
      ])
    })

    it('says nothing of its password when it is refused', { timeout: 60_000 }, async () => {
      const tls = kafka.state === 'running' ? kafka.tls! : undefined
      const findings = await examine({
        brokers: {
          default: {
            adapter: 'kafka',
            brokers: [tls!.address],
            ssl: { ca: tls!.ca },
            sasl: { mechanism: 'plain', username: 'alice', password: 'planted-hunter2' }
          }
        },
        variables: {}
      })
      expect(lines(findings, 'error')).toEqual([expect.stringMatching(/^broker 'default': .*\(unauthorized\)$/)])
      expect(JSON.stringify(findings)).not.toContain('planted-hunter2')
    })
  }
)

const pulsar = inject('pulsar')
describe.runIf(pulsar.state === 'running')(
  `the doctor on pulsar${pulsar.state === 'running' ? '' : ` (not run: ${pulsar.reason})`}`,
  () => {
    it('finds short retention, and says which server it is', { timeout: 60_000 }, async () => {
      const brokers = { default: pulsar.state === 'running' ? pulsar.url : '' }
      const [sound, short] = [unique('sound'), unique('short')]
      {
        await using client = await connect({ brokers, variables: {} })
        await client.admin.create(topic(sound, { value: text }), { partitions: 1 })
        await client.admin.create(topic(short, { value: text }), {
          partitions: 1,
          settings: { retentionTimeInMinutes: '5', retentionSizeInMB: '-1' }
        })
      }
      const findings = await examine({ brokers, variables: {}, check: [sound, short] })
      expect(lines(findings, 'ok').find(line => line.startsWith("broker 'default'"))).toMatch(
        /answers: Apache Pulsar \d+\./
      )
      expect(lines(findings, 'error')).toEqual([
        `topic '${short}' on 'default': a record is gone 5 minutes after it was written, read or not (retentionTimeInMinutes)`
      ])
      expect(lines(findings, 'warning').filter(line => line.includes(sound))).toEqual([])
    })
  }
)
