import { describe, expect, it } from 'vitest'
import { PullQueue } from '../../../src/adapters/shared/pull-queue.ts'
import type { Environment } from '../../../src/core/environment.ts'

/** Time that the test moves. */
class ManualTime implements Environment {
  time = 0
  #timers: { readonly at: number; readonly task: () => void }[] = []

  now(): number {
    return this.time
  }
  monotonic(): number {
    return this.time
  }
  random(): number {
    return 0.5
  }
  timer(delay: number, task: () => void): { cancel(): void } {
    const timer = { at: this.time + delay, task }
    this.#timers.push(timer)
    return { cancel: () => (this.#timers = this.#timers.filter(each => each !== timer)) }
  }
  turn(): Promise<void> {
    return Promise.resolve()
  }
  get waiting(): number {
    return this.#timers.length
  }
  advance(milliseconds: number): void {
    this.time += milliseconds
    for (const timer of this.#timers.filter(({ at }) => at <= this.time)) {
      this.#timers = this.#timers.filter(each => each !== timer)
      timer.task()
    }
  }
}

const state = async (promise: Promise<unknown>): Promise<string> =>
  Promise.race([
    promise.then(
      () => 'resolved',
      () => 'rejected'
    ),
    new Promise<string>(resolve => setImmediate(resolve, 'pending'))
  ])

describe('the pull queue', () => {
  const setup = (limit = 100): { time: ManualTime; queue: PullQueue<string> } => {
    const time = new ManualTime()
    return { time, queue: new PullQueue(time, limit) }
  }

  it('hands out in order, and what is urgent first', () => {
    const { queue } = setup()
    for (const item of ['a', 'b', 'c']) queue.push(item, 1)
    queue.push('first', 0, true)
    expect(queue.length).toBe(4)
    expect(queue.take(2)).toEqual(['first', 'a'])
    expect(queue.take(9)).toEqual(['b', 'c'])
    expect(queue.take(9)).toEqual([])
  })

  it('counts bytes: room is what may be asked for, and one item may overshoot', () => {
    const { queue } = setup(100)
    queue.push('a', 60)
    expect(queue.room).toBe(40)
    queue.push('b', 90)
    expect(queue.room).toBe(-50)
    queue.take(1)
    expect(queue.room).toBe(10)
    expect(queue.remove(item => item === 'b')).toEqual(['b'])
    expect(queue.room).toBe(100)
  })

  it('wakes the pushing side when there is room again, not before', async () => {
    const { queue } = setup(100)
    queue.push('a', 60)
    queue.push('b', 60)
    const room = queue.whenRoom()
    expect(await state(room)).toBe('pending')
    queue.take(1)
    expect(await state(room)).toBe('resolved')
    expect(await state(queue.whenRoom())).toBe('resolved')
    queue.push('c', 60)
    const more = queue.whenRoom()
    expect(await state(more)).toBe('pending')
    queue.remove(item => item === 'c')
    expect(await state(more)).toBe('resolved')
  })

  it('is ready at once when there is something, else after a push or the wait', async () => {
    const { queue, time } = setup()
    expect(await state(queue.ready(0))).toBe('resolved')
    const pushed = queue.ready(1000)
    expect(await state(pushed)).toBe('pending')
    queue.push('a', 1)
    expect(await state(pushed)).toBe('resolved')
    expect(await state(queue.ready(1000))).toBe('resolved')
    queue.take(1)
    const waited = queue.ready(1000)
    time.advance(999)
    expect(await state(waited)).toBe('pending')
    time.advance(1)
    expect(await state(waited)).toBe('resolved')
    expect(time.waiting).toBe(0)
  })

  it('is ended by a signal, and loses nothing by that', async () => {
    const { queue, time } = setup()
    const stop = new AbortController()
    const ready = queue.ready(1000, stop.signal)
    stop.abort()
    await expect(ready).rejects.toMatchObject({ code: 'aborted' })
    await expect(queue.ready(1000, stop.signal)).rejects.toMatchObject({ code: 'aborted' })
    expect(time.waiting).toBe(0)
    queue.push('a', 1)
    expect(queue.take(1)).toEqual(['a'])
  })

  it('fails for good: who waits and who comes later hears of the first reason', async () => {
    const { queue, time } = setup(1)
    const ready = queue.ready(1000)
    queue.fail(new Error('first'))
    queue.fail(new Error('second'))
    queue.push('a', 5)
    await expect(ready).rejects.toThrow('first')
    await expect(queue.ready(0)).rejects.toThrow('first')
    expect(() => queue.take(1)).toThrow('first')
    expect(await state(queue.whenRoom())).toBe('resolved')
    expect(queue.room).toBe(1)
    expect(time.waiting).toBe(0)
  })

  it('lets the pushing side go when it fails while full', async () => {
    const { queue } = setup(1)
    queue.push('a', 5)
    const room = queue.whenRoom()
    queue.fail(new Error('over'))
    expect(await state(room)).toBe('resolved')
  })
})
