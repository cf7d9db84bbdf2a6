import { StreamError } from '../../core/errors.ts'

/** Remembers what was fetched, up to `limit` entries, the longest unused leaving first; concurrent callers share a fetch. */
export interface FetchCache<Value> {
  get(key: string, fetch: () => Promise<Value>): Promise<Value>
  set(key: string, value: Value): void
}

export function fetchCache<Value>(limit: number): FetchCache<Value> {
  const known = new Map<string, Value>()
  const pending = new Map<string, Promise<Value>>()
  const set = (key: string, value: Value): void => {
    known.delete(key)
    known.set(key, value)
    if (known.size > limit) known.delete(known.keys().next().value!)
  }
  return {
    set,
    get(key, fetch) {
      const found = known.get(key)
      if (found !== undefined) {
        set(key, found)
        return Promise.resolve(found)
      }
      let request = pending.get(key)
      if (!request) {
        // What fails is not remembered.
        request = fetch()
          .then(value => {
            set(key, value)
            return value
          })
          .finally(() => pending.delete(key))
        pending.set(key, request)
      }
      return request
    }
  }
}

/**
 * The same for schemas, whose records shall be parked (`unreachable: 'park'`) or waited for when the registry cannot be reached: a
 * `connection` that is not retryable says the former.
 */
export function schemaCache<Value>(limit: number, unreachable: 'wait' | 'park' = 'wait'): FetchCache<Value> {
  const cache = fetchCache<Value>(limit)
  if (unreachable === 'wait') return cache
  return {
    set: cache.set,
    async get(key, fetch) {
      try {
        return await cache.get(key, fetch)
      } catch (error) {
        if (!StreamError.is(error) || error.code !== 'connection') throw error
        throw new StreamError('connection', error.message, { cause: error })
      }
    }
  }
}
