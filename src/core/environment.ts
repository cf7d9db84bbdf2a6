import { StreamError } from './errors.ts'

export interface Timer {
  cancel(): void
}

/**
 * Time, randomness and waiting, handed in (law 9): core code takes them from here and nowhere else, so that a simulation
 * owns every one of them.
 */
export interface Environment {
  /** Wall clock, milliseconds since the epoch. May jump. */
  now(): number
  /** Milliseconds from an arbitrary start. Never goes back: use it for every duration. */
  monotonic(): number
  /** Uniform in [0, 1). */
  random(): number
  /** Runs `task` once after `delay` ms. Does not keep the process alive when `background` is true. */
  timer(delay: number, task: () => void, background?: boolean): Timer
  /** Lets I/O and timers run before it resolves: a loop that never waits must call it now and then. */
  turn(): Promise<void>
}

/** The real thing: the only place of the core that touches the clock and the dice of the process. */
export const systemEnvironment: Environment = {
  now: Date.now,
  monotonic: (): number => performance.now(),
  random: Math.random,
  timer(delay, task, background = false): Timer {
    const handle = setTimeout(task, delay)
    if (background) handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
  turn: () => new Promise(resolve => setImmediate(resolve))
}

/** Resolves after `delay` ms; rejects with code `aborted` as soon as the signal fires. */
export function sleep(environment: Environment, delay: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortedError(signal))
    const onAbort = (): void => {
      timer.cancel()
      reject(abortedError(signal))
    }
    const timer = environment.timer(delay, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** A point in time that does not keep the process alive: `reached` resolves then, or never once cancelled. */
export function deadlineIn(
  environment: Environment,
  delay: number
): { readonly reached: Promise<void>; cancel(): void } {
  if (delay <= 0) return { reached: Promise.resolve(), cancel: () => {} }
  let timer: Timer | undefined
  const reached = new Promise<void>(resolve => (timer = environment.timer(delay, resolve, true)))
  return { reached, cancel: () => timer?.cancel() }
}

export function abortedError(signal?: AbortSignal): StreamError {
  return new StreamError('aborted', 'the call was aborted by its signal', { cause: signal?.reason })
}

/** `promise`, unless the signal fires first: then `aborted`. What is under way goes on by itself. */
export function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortedError(signal))
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/**
 * A UUIDv7 (RFC 9562): 48 bits of milliseconds, then random. The time of birth in the id lets a reader refuse records of
 * producers that it may already have forgotten (`watermark/partition-tracker.ts`).
 */
export function uuidv7(environment: Environment): string {
  const bytes = uuidv7Bytes(environment)
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export function uuidv7Bytes(environment: Environment): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUIntBE(environment.now(), 0, 6)
  for (let index = 6; index < 16; index++) bytes[index] = Math.floor(environment.random() * 256)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes
}

/** When a UUIDv7 was made, ms since the epoch; `undefined` for other ids. @param id 16 bytes as latin1 */
export function bornAt(id: string): number | undefined {
  if (id.charCodeAt(6) >> 4 !== 7 || id.charCodeAt(8) >> 6 !== 2) return undefined
  return Buffer.from(id.slice(0, 6), 'latin1').readUIntBE(0, 6)
}
