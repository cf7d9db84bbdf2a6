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
