import { describe, expect, it } from 'vitest'
import { deadlineIn, sleep, systemEnvironment, uuidv7, uuidv7Bytes } from '../../src/core/environment.ts'
import { StreamError } from '../../src/core/errors.ts'
import { Signal } from '../../src/core/signal.ts'
import { topic } from '../../src/core/topic.ts'
import { text } from '../../src/core/codec.ts'

describe('the environment', () => {
  it('sleeps until the signal', async () => {
    const abort = new AbortController()
    const sleeping = sleep(systemEnvironment, 60_000, abort.signal)
    abort.abort('enough')
    await expect(sleeping).rejects.toMatchObject({ code: 'aborted', cause: 'enough' })
    await expect(sleep(systemEnvironment, 60_000, abort.signal)).rejects.toSatisfy(StreamError.is)
    await sleep(systemEnvironment, 1, new AbortController().signal)
  })

  it('gives UUIDs of version 7 that carry their time', () => {
    const environment = { ...systemEnvironment, now: () => 0x0123456789ab, random: () => 0.999 }
    expect(uuidv7(environment)).toBe('01234567-89ab-7fff-bfff-ffffffffffff')
    expect(uuidv7Bytes(environment).readUIntBE(0, 6)).toBe(0x0123456789ab)
  })

  it('reaches a deadline at once when there is no time left', async () => {
    await deadlineIn(systemEnvironment, 0).reached
    await deadlineIn(systemEnvironment, -5).reached
    deadlineIn(systemEnvironment, 60_000).cancel()
  })
})

describe('a signal', () => {
  it('that comes while nobody waits is kept, once', async () => {
    const signal = new Signal(systemEnvironment)
    signal.raise()
    signal.raise()
    await signal.wait(undefined)
    let woken = false
    const waiting = signal.wait(undefined).then(() => (woken = true))
    await systemEnvironment.turn()
    expect(woken).toBe(false)
    signal.raise()
    await waiting
  })

  it('ends its wait by time and by abort', async () => {
    const signal = new Signal(systemEnvironment)
    await signal.wait(1)
    const abort = new AbortController()
    const waiting = signal.wait(60_000, abort.signal)
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'aborted' })
    await expect(signal.wait(60_000, abort.signal)).rejects.toMatchObject({ code: 'aborted' })
  })
})

describe('a topic definition', () => {
  it.each(['ab', '1abc', 'has space', '-abc', 'a'.repeat(250), 'naïve'])('refuses the name %j', name => {
    expect(() => topic(name, { value: text })).toThrow('every backend takes those')
  })

  it.each([
    [{ lateness: -1 }, 'lateness'],
    [{ lateness: Number.NaN }, 'lateness'],
    [{ lateness: 0.5 }, 'lateness'],
    [{ lateness: Infinity }, 'lateness'],
    [{ partitions: 0 }, 'partitions'],
    [{ partitions: 1.5 }, 'partitions']
  ])('refuses %o', (options, name) => {
    expect(() => topic('trades', { value: text, ...options })).toThrow(name)
  })
})
