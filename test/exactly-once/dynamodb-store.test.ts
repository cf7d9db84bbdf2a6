import { setTimeout as sleep } from 'node:timers/promises'
import { CreateTableCommand, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { dynamodbPolicy, dynamodbStore, dynamodbTable } from '../../src/dynamodb.ts'
import { DynamodbStore, type DynamodbClient, type TaskLog } from '../../src/exactly-once/index.ts'
import { client, endpoint, keysIn, notRun, running, storeUrl, tableOf } from '../support/dynamodb.ts'
import { commitOf, output, row, rowsOf, task, unsentOf } from './stores.ts'
import { storedRows } from '../support/stored-rows.ts'

const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function opened(url: string): Promise<DynamodbStore> {
  const store = await DynamodbStore.open({ url })
  cleanUps.push(() => store.close())
  return store
}

const kinds = async (url: string): Promise<string[]> => {
  const keys = (await keysIn(url)).filter(key => key.startsWith('task/'))
  return keys.map(key => key.replace(/^task\/\S+ /, '').replace(/\/0+(\d+)/g, '/$1'))
}
const of = (keys: readonly string[], kind: string): string[] => keys.filter(key => key.startsWith(`${kind}/`))

/** A value of so many bytes. */
const large = (bytes: number, fill = 'x'): string => fill.repeat(bytes)

/** Commits `rounds` times 100 KB under 20 keys, so that the state is folded now and then. */
async function busy(log: TaskLog, from: number, rounds: number): Promise<void> {
  for (let number = from; number < from + rounds; number++)
    expect(await log.append(commitOf(number, { state: [row(`k${number % 20}`, `${number} ${large(100_000)}`)] }))).toBe(
      'ok'
    )
}

describe.skipIf(!running)(`the limits of DynamoDB${notRun}`, () => {
  it('are none of a commit: 6 MB of state, 5 MB of outputs, a head of 1 MB', async () => {
    const url = storeUrl()
    const log = await (await opened(url)).acquire(task)
    const state = Array.from({ length: 3_000 }, (_, index) => row(`key ${index}`, large(2_000)))
    const commit = commitOf(1, {
      head: Buffer.alloc(1 << 20, 'h'),
      state: [...state, row('one', large(1_000_000))],
      outputs: Array.from({ length: 5 }, (_, index) => output(large(1_000_000, String(index))))
    })
    expect(await log.append(commit)).toBe('ok')
    expect(await log.append(commitOf(2, { head: Buffer.alloc(300_000, 'i'), state: [row('one', 'small')] }))).toBe('ok')
    const next = await (await opened(url)).acquire(task)
    expect(Buffer.compare(next.last!.head, Buffer.alloc(300_000, 'i'))).toBe(0)
    const rows = await storedRows(next.state)
    expect(rows.length).toBe(3_001)
    expect(rows.find(({ key }) => key === 'one')!.value!.toString()).toBe('small')
    expect(unsentOf(next).map(text => `${text.slice(0, 3)} ${text.length}`)).toEqual(
      Array.from({ length: 5 }, (_, index) => `1 ${index} 1000002`)
    )
    expect(await next.append(commitOf(3, { relayedTo: 2 }))).toBe('ok')
    expect((await (await opened(url)).acquire(task)).last!.head.toString()).toBe('head 3')
  }, 30_000)

  it('are told of, not stumbled over, when leases of one scope do not fit', async () => {
    const store = await opened(storeUrl())
    const owner = large(200, 'o')
    const taking = Array.from({ length: 4_000 }, (_, index) =>
      store.take('s', `${large(100, 'n')}${index}`, owner, undefined)
    )
    const results = await Promise.allSettled(taking)
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'too-large' } })
  })

  it('are none of positions: 10,000 partitions in one call', async () => {
    const store = await opened(storeUrl())
    const positions = Array.from({ length: 10_000 }, (_, partition) => ({
      topic: 't/1',
      partition,
      position: `${partition}`
    }))
    expect(await store.storePositions('g', positions)).toBe(true)
    const found = await store.positions('g', 't/1')
    expect(found.size).toBe(10_000)
    expect(found.get(9_999)).toBe('9999')
    expect((await store.positions('g', 't')).size).toBe(0)
  }, 20_000)
})

describe.skipIf(!running)(`state in DynamoDB${notRun}`, () => {
  it('is folded while commits go on, and what is folded goes away', async () => {
    const url = storeUrl()
    const store = await opened(url)
    const log = await store.acquire(task)
    await busy(log, 1, 60)
    await expect
      .poll(async () => {
        const keys = await kinds(url)
        return of(keys, 'base').length > 0 && of(keys, 'state').length < 55
      })
      .toBe(true)
    const next = await (await opened(url)).acquire(task)
    expect(next.last!.number).toBe(60)
    const values = new Map(
      (await storedRows(next.state)).map(({ key, value }) => [key, value!.toString().split(' ')[0]])
    )
    expect(values).toEqual(
      new Map(Array.from({ length: 20 }, (_, index) => [`k${(41 + index) % 20}`, `${41 + index}`]))
    )
  }, 30_000)

  it('comes back as it was, whatever is written, deleted, lost, repeated and folded', async () => {
    const url = storeUrl()
    const store = await opened(url)
    let run = 0
    const step = fc.record({
      rows: fc.array(fc.tuple(fc.nat({ max: 12 }), fc.option(fc.nat({ max: 90_000 }), { freq: 4 })), { maxLength: 6 }),
      outputs: fc.nat({ max: 2 }),
      relayed: fc.boolean(),
      then: fc.constantFrom('go on', 'go on', 'go on', 'another owner', 'a zombie writes')
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async steps => {
        const each = { ...task, id: `p/s/${run++}` }
        let log = await store.acquire(each)
        const state = new Map<string, string>()
        let unsent: [number, string][] = []
        let number = 0
        for (const { rows, outputs, relayed, then } of steps) {
          number++
          const changed = new Map(
            rows.map(([key, size]) => [`k${key}`, size === null ? null : `${number} ${large(size)}`])
          )
          for (const [key, value] of changed)
            if (value === null) state.delete(key)
            else state.set(key, value)
          const sent = Array.from({ length: outputs }, (_, index) => `${number}.${index}`)
          const relayedTo = relayed ? number - 1 : 0
          if (relayed) unsent = []
          unsent.push(...sent.map((text): [number, string] => [number, text]))
          const commit = commitOf(number, {
            state: [...changed].map(([key, value]) => row(key, value)),
            outputs: sent.map(output),
            relayedTo
          })
          expect(await log.append(commit)).toBe('ok')
          if (then === 'go on') continue
          const old = log
          log = await store.acquire(each)
          expect(log.last).toMatchObject({ number, token: commit.token })
          expect(await rowsOf(log)).toEqual([...state].map(([key, value]) => `total ${key} ${value}`).sort())
          expect(unsentOf(log)).toEqual(unsent.map(([commit, text]) => `${commit} ${text}`))
          if (then === 'another owner') continue
          const zombie = commitOf(number + 1, {
            state: [row('k1', 'zombie'), row('z', 'zombie')],
            outputs: [output('zombie')]
          })
          expect(await old.append(zombie)).toBe('fenced')
        }
        const last = await store.acquire(each)
        expect(await rowsOf(last)).toEqual([...state].map(([key, value]) => `total ${key} ${value}`).sort())
        expect(unsentOf(last)).toEqual(unsent.map(([commit, text]) => `${commit} ${text}`))
      }),
      { numRuns: 12 }
    )
  }, 120_000)

  it('is not that of a zombie whose parts came after all was cleaned up, under a number that has none itself', async () => {
    const url = storeUrl()
    const store = await opened(url)
    const old = await store.acquire(task)
    await old.append(commitOf(1, { state: [row('a', '1')], outputs: [output('a')] }))
    const next = await store.acquire(task)
    const zombie = commitOf(2, { state: [row('a', 'zombie')], outputs: [output('zombie')] })
    expect(await old.append(zombie)).toBe('fenced')
    // Nothing in it: only what names the parts tells that those of the zombie are not its own.
    expect(await next.append(commitOf(2))).toBe('ok')
    expect(await next.append(commitOf(3, { state: [row('b', '3')], outputs: [output('c')] }))).toBe('ok')
    const last = await store.acquire(task)
    expect(await rowsOf(last)).toEqual(['total a 1', 'total b 3'])
    expect(unsentOf(last)).toEqual(['1 a', '3 c'])
    // And it is cleaned up.
    await expect.poll(async () => of(await kinds(url), 'state')).toEqual(['state/1/1/0/0', 'state/3/2/0/0'])
    expect(of(await kinds(url), 'outputs')).toEqual(['outputs/1/1/0/0', 'outputs/3/2/0/0'])
  })

  it('of a successor is not deleted by an owner that cleans up late', async () => {
    const url = storeUrl()
    const store = await opened(url)
    const old = await store.acquire(task)
    for (let number = 1; number <= 30; number++)
      await old.append(commitOf(number, { outputs: [output(`${number}`)], relayedTo: number - 1 }))
    const next = await (await opened(url)).acquire(task)
    await next.append(commitOf(31, { state: [row('a', '31')], outputs: [output('31')] }))
    await old.close()
    const last = await store.acquire(task)
    expect(unsentOf(last)).toEqual(['30 30', '31 31'])
    expect(await rowsOf(last)).toEqual(['total a 31'])
  })

  it('of a successor is not taken for what is left over by an owner that was slow to read', async () => {
    const url = storeUrl()
    const store = await opened(url)
    const real = client()
    let before: (() => Promise<void>) | undefined
    const slow: DynamodbClient = {
      async send(command) {
        const first = (command as object).constructor.name === 'QueryCommand' ? before : undefined
        if (first) before = undefined
        await first?.()
        return real.send(command as never)
      },
      destroy: () => real.destroy()
    }
    const late = await dynamodbStore({ url, client: slow })
    const parts = { state: [row('a', '1')], outputs: [output('a')] }
    before = async () => {
      const successor = await store.acquire(task)
      expect(await successor.append(commitOf(1, parts))).toBe('ok')
    }
    const old = await late.acquire(task)
    expect(before).toBeUndefined()
    await sleep(100)
    await old.close()
    expect(await old.append(commitOf(1, parts))).toBe('fenced')
    const last = await store.acquire(task)
    expect([await rowsOf(last), unsentOf(last)]).toEqual([['total a 1'], ['1 a']])
    await late.close()
    real.destroy()
  })

  it('of outputs that are sent is deleted in time, and not all of it by the next owner', async () => {
    const url = storeUrl()
    const log = await (await opened(url)).acquire(task)
    for (let number = 1; number <= 80; number++)
      await log.append(commitOf(number, { outputs: [output(`${number}`)], relayedTo: number - 1 }))
    await expect.poll(async () => of(await kinds(url), 'outputs').length).toBeLessThan(30)
  })
})

describe.skipIf(!running)(`a table${notRun}`, () => {
  it('is made once by all who open it at the same time', async () => {
    const url = storeUrl()
    const stores = await Promise.all(Array.from({ length: 5 }, () => opened(url)))
    expect((await stores[4]!.acquire(task)).epoch).toBe(1)
  })

  it('is not made where that is not wanted, and used as described', async () => {
    const url = storeUrl({ create: 'false' })
    await expect(DynamodbStore.open({ url })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('`create` is false')
    })
    const other = client()
    await other.send(new CreateTableCommand(dynamodbTable(tableOf(url)) as never))
    other.destroy()
    expect((await (await opened(url)).acquire(task)).epoch).toBe(1)
  })

  it('of somebody else, or of a newer release, is refused', async () => {
    const url = storeUrl()
    const other = client()
    const described = dynamodbTable(tableOf(url)) as { KeySchema: unknown[]; AttributeDefinitions: unknown[] }
    const strange = {
      ...described,
      KeySchema: described.KeySchema.slice(0, 1),
      AttributeDefinitions: described.AttributeDefinitions.slice(0, 1)
    }
    await other.send(new CreateTableCommand(strange as never))
    await expect(DynamodbStore.open({ url })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('none of ours')
    })
    const newer = storeUrl()
    await (await DynamodbStore.open({ url: newer })).close()
    await other.send(
      new PutItemCommand({
        TableName: tableOf(newer),
        Item: { pk: { S: 'version' }, sk: { S: 'version' }, version: { N: '2' } }
      })
    )
    await expect(DynamodbStore.open({ url: newer })).rejects.toMatchObject({ code: 'corrupt' })
    other.destroy()
  })

  it('that is gone is told as such', async () => {
    const url = storeUrl()
    const store = await opened(url)
    const { DeleteTableCommand } = await import('@aws-sdk/client-dynamodb')
    const other = client()
    await other.send(new DeleteTableCommand({ TableName: tableOf(url) }))
    other.destroy()
    await expect(store.acquire(task)).rejects.toMatchObject({ code: 'bad-config', retryable: false })
    await expect(store.leases('s')).rejects.toMatchObject({ code: 'bad-config' })
  })
})

describe('throttling', () => {
  /** A client that answers what it is told to, in turn, and then nothing special. */
  const answering = (answers: (Error | object)[]): { asked: string[]; client: DynamoDBClient } => {
    const asked: string[] = []
    const send = async (command: object): Promise<object> => {
      const name = command.constructor.name.replace('Command', '')
      if (name === 'DescribeTable') {
        const { KeySchema, AttributeDefinitions } = dynamodbTable() as Record<string, unknown>
        return { Table: { TableStatus: 'ACTIVE', KeySchema, AttributeDefinitions } }
      }
      asked.push(name)
      const answer = answers.shift() ?? { Attributes: { version: { N: '1' }, epoch: { N: '1' }, number: { N: '0' } } }
      if (answer instanceof Error) throw answer
      return answer
    }
    return { asked, client: { send, destroy() {} } as never }
  }
  const named = (name: string, more: object = {}): Error => Object.assign(new Error(name), { name, ...more })

  it('is waited for, in growing pauses: of a request, and of single items of a batch', async () => {
    const answers: (Error | object)[] = []
    const { asked, client } = answering(answers)
    const store = await dynamodbStore({ client })
    const log = await store.acquire(task)
    asked.length = 0
    const put = { PutRequest: { Item: {} } }
    answers.push(
      named('ThrottlingException'),
      { UnprocessedItems: { tidemark: [put] } },
      named('ProvisionedThroughputExceededException'),
      {},
      named('ThrottlingException'),
      {}
    )
    expect(await log.append(commitOf(1, { state: [row('a', '1')] }))).toBe('ok')
    expect(asked).toEqual([
      'BatchWriteItem',
      'BatchWriteItem',
      'BatchWriteItem',
      'BatchWriteItem',
      'UpdateItem',
      'UpdateItem'
    ])
    await store.close()
  })

  it('that does not end is an append that has not happened, and an error that may pass', async () => {
    const answers: (Error | object)[] = []
    const { client } = answering(answers)
    const store = await dynamodbStore({ client, requestTimeout: 100 })
    const log = await store.acquire(task)
    answers.push(...Array.from({ length: 200 }, () => named('ThrottlingException')))
    expect(await log.append(commitOf(1))).toBe('unknown')
    await expect(store.leases('s')).rejects.toMatchObject({ code: 'throttled', retryable: true })
    await store.close()
  })

  it('by a transaction of somebody else is repeated, and a change of leases is looked at anew', async () => {
    const answers: (Error | object)[] = []
    const { asked, client } = answering(answers)
    const store = await dynamodbStore({ client })
    asked.length = 0
    const sheet = (owner: string, changes: number): object => ({
      Item: {
        version: { N: '1' },
        changes: { N: `${changes}` },
        rows: { S: JSON.stringify({ owners: [owner], rows: { 0: [0, 1] } }) }
      }
    })
    const cancelled = (...codes: string[]): Error =>
      named('TransactionCanceledException', { CancellationReasons: codes.map(Code => ({ Code })) })
    answers.push(
      sheet('me', 1),
      cancelled('None', 'TransactionConflict'),
      cancelled('ConditionalCheckFailed', 'None'),
      sheet('me', 2),
      {}
    )
    const position = [{ topic: 't', partition: 0, position: '1' }]
    const holding = { scope: 's', owner: 'me', names: ['0'] }
    expect(await store.storePositions('g', position, holding)).toBe(true)
    expect(asked).toEqual(['GetItem', 'TransactWriteItems', 'TransactWriteItems', 'GetItem', 'TransactWriteItems'])
    answers.push(sheet('me', 1), cancelled('ConditionalCheckFailed', 'None'), sheet('you', 2))
    expect(await store.storePositions('g', position, holding)).toBe(false)
    await store.close()
  })

  it('is not what a refusal is', async () => {
    const answers: (Error | object)[] = []
    const { client } = answering(answers)
    const store = await dynamodbStore({ client })
    const log = await store.acquire(task)
    answers.push(named('AccessDeniedException', { message: 'not authorized to perform dynamodb:UpdateItem' }))
    await expect(log.append(commitOf(1))).rejects.toMatchObject({ code: 'unauthorized', retryable: false })
    await store.close()
  })
})

describe('options of a DynamoDB store', () => {
  it.each([
    ['dynamodb:', 'dynamodb:///tidemark'],
    ['dynamodb://eu-central-1', 'dynamodb://eu-central-1/tidemark'],
    ['dynamodb://eu-central-1/orders?create=false&requestTimeout=500', 'dynamodb://eu-central-1/orders']
  ])('%s is %s', async (url, location) => {
    const client = { send: () => new Promise(() => {}), destroy() {} }
    const failed = DynamodbStore.open({ url, client, requestTimeout: 20 }).catch((error: Error) => error.message)
    expect(await failed).toContain(location)
  })

  it.each([
    ['dynamodb://eu-central-1/a', "'table'"],
    ['dynamodb://EU/tidemark', "'region'"],
    ['dynamodb://key:secret@eu-central-1/tidemark', 'must not hold credentials'],
    ['dynamodb://eu-central-1/tidemark?secretAccessKey=xyz', "'secretAccessKey' is a secret"],
    ['dynamodb://eu-central-1/tidemark?sslmode=no', "the URL has 'sslmode'"],
    ['dynamodb://eu-central-1/tidemark?requestTimeout=0', "'requestTimeout'"],
    ['dynamodb://eu-central-1/tidemark?endpoint=x', "'endpoint'"],
    ['postgres://x', 'dynamodb://region/table']
  ])('%s is refused: %s', async (url, message) => {
    await expect(DynamodbStore.open({ url })).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining(message)
    })
    await DynamodbStore.open({ url }).catch((error: Error) => expect(error.message).not.toMatch(/xyz|key:secret/))
  })

  it('give a policy that allows one table and nothing that drops it', () => {
    const arn = 'arn:aws:dynamodb:eu-central-1:1:table/tidemark'
    const { Statement } = dynamodbPolicy(arn) as { Statement: { Action: string[]; Resource: string }[] }
    expect(Statement).toHaveLength(1)
    expect(Statement[0]!.Resource).toBe(arn)
    expect(Statement[0]!.Action.join()).not.toMatch(/Delete(Table|Backup)|Create|Scan|\*/)
    expect(JSON.stringify(dynamodbPolicy(arn, { create: true }))).toContain('dynamodb:CreateTable')
  })
})

describe.skipIf(!running)(`a store by its URL${notRun}`, () => {
  it('is opened by connect, and is for several hosts', async () => {
    const { openStore } = await import('../../src/pipeline/index.ts')
    const store = await openStore(storeUrl(), new Map())
    expect(store.scope).toBe('network')
    expect(store.location).toMatch(/^dynamodb:\/\/us-east-1\/test-/)
    expect(endpoint).toContain('127.0.0.1')
    await store.close()
    await expect(store.acquire(task)).rejects.toMatchObject({ code: 'closed', retryable: false })
    await sleep(0)
  })
})
