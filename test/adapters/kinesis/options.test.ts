import { describe, expect, it } from 'vitest'
import { fromUrl, kinesis, type KinesisOptions } from '../../../src/adapters/kinesis/index.ts'
import { systemEnvironment } from '../../../src/core/environment.ts'

const refused = (options: object): string => {
  try {
    kinesis(options as KinesisOptions)
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad-config' })
    return (error as Error).message
  }
  throw new Error('it was taken')
}

describe('options of Kinesis', () => {
  it('come from a URL', () => {
    expect(fromUrl('kinesis:')).toEqual({})
    expect(fromUrl('kinesis://eu-central-1')).toEqual({ region: 'eu-central-1' })
    expect(
      fromUrl('kinesis://us-east-1/?endpoint=http://127.0.0.1:4568&pollInterval=500&ordering=coarse&fanOut=orders')
    ).toEqual({
      region: 'us-east-1',
      endpoint: 'http://127.0.0.1:4568',
      pollInterval: 500,
      ordering: 'coarse',
      fanOut: 'orders'
    })
  })

  it('that a URL must not hold are refused, and never shown', () => {
    for (const url of [
      'kinesis://key:hunter2@eu-central-1',
      'kinesis://eu-central-1?secretAccessKey=hunter2',
      'kinesis://eu-central-1?credentials=hunter2',
      'kinesis://eu-central-1?nonsense=hunter2',
      'kinesis://eu-central-1?ordering=hunter2x',
      'kinesis://eu-central-1/hunter2'
    ]) {
      let message = ''
      try {
        fromUrl(url)
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad-config' })
        message = (error as Error).message
      }
      expect(message, url).not.toBe('')
      if (!url.includes('ordering')) expect(message).not.toContain('hunter2')
    }
  })

  it('that are wrong are named', () => {
    expect(refused({ regoin: 'x' })).toContain("unknown option 'regoin'")
    expect(refused({ region: 'EU West' })).toContain("'region'")
    expect(refused({ endpoint: 'localhost:4568' })).toContain("'endpoint'")
    expect(refused({ endpoint: 'http://user:secret@host' })).not.toContain('secret')
    expect(refused({ pollInterval: 0 })).toContain("'pollInterval' must be a whole number above 0")
    expect(refused({ ordering: 'loose' })).toContain("'ordering' must be one of strict, coarse")
    expect(refused({ fanOut: 'a b' })).toContain("'fanOut'")
    expect(refused({ partitions: { clicks: 0 } })).toContain("'partitions.clicks'")
    expect(refused({ partitions: 8 })).toContain("'partitions'")
    expect(refused({ credentials: 'hunter2' })).not.toContain('hunter2')
  })

  it('show where the adapter is connected to, without secrets', async () => {
    expect(
      kinesis({ region: 'eu-central-1', credentials: { accessKeyId: 'a', secretAccessKey: 'hunter2' } }).location
    ).toBe('kinesis://eu-central-1')
    expect(kinesis({ endpoint: 'http://127.0.0.1:4568/' }).location).toBe(
      'kinesis://(region of the AWS client) at http://127.0.0.1:4568'
    )
  })

  it('may hand in a client, which stays open when the adapter is closed', async () => {
    const sent: object[] = []
    let destroyed = false
    const client = {
      send: async (command: unknown) => {
        sent.push(command as object)
        return { StreamNames: ['one'], HasMoreStreams: false }
      },
      destroy: () => void (destroyed = true)
    }
    const adapter = kinesis({ client })
    await adapter.open(systemEnvironment)
    expect(adapter.native).toBe(client)
    expect(await adapter.admin().listTopics()).toEqual(['one'])
    await adapter.close()
    expect([sent.length, destroyed]).toEqual([1, false])
  })

  it('of topics are checked before anything is asked', async () => {
    const adapter = kinesis({ client: { send: async () => expect.fail('asked'), destroy: () => {} } })
    await adapter.open(systemEnvironment)
    const create = (settings: Record<string, string>): Promise<void> =>
      adapter.admin().createTopic({ topic: 'x', partitions: 4, settings })
    for (const settings of [
      { shrads: '1' },
      { shards: 'many' },
      { mode: 'free' },
      { mode: 'on-demand', shards: '2' },
      { retentionHours: '1.5' }
    ])
      await expect(create(settings)).rejects.toMatchObject({ code: 'bad-config' })
    await adapter.close()
  })
})
