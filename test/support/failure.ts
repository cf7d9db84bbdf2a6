import { StreamError } from '../../src/core/errors.ts'

/** The StreamError that a call rejects with. */
export async function failure(call: () => Promise<unknown>): Promise<StreamError> {
  try {
    await call()
  } catch (error) {
    if (StreamError.is(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** What the promise rejects with, of whatever kind. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}
