import { StreamError } from '../../core/errors.ts'
import type { Bufbuild, MessageDescriptor } from './peer.ts'

/** Throws `bad-record`, without the value. */
export function toBinary(bufbuild: Bufbuild, descriptor: MessageDescriptor, value: unknown): Uint8Array {
  if (!bufbuild.isMessage(value, descriptor))
    throw new StreamError(
      'bad-record',
      `expected a message ${descriptor.typeName}, made with create(): got ${typeof value}`
    )
  try {
    return bufbuild.toBinary(descriptor, value)
  } catch (error) {
    // The message of the package quotes the value.
    const field = /field ([\w.]+)/.exec((error as Error).message)?.[1]
    throw new StreamError(
      'bad-record',
      field ? `field '${field}' does not fit its type` : 'the message cannot be encoded'
    )
  }
}

/** Throws `bad-record`. */
export function fromBinary(bufbuild: Bufbuild, descriptor: MessageDescriptor, bytes: Uint8Array): unknown {
  try {
    // A copy: fields of bytes are views of what is read, which is not ours to keep.
    return bufbuild.fromBinary(descriptor, new Uint8Array(bytes))
  } catch (error) {
    const reason =
      error instanceof RangeError && /stack/i.test(error.message) ? 'nested too deeply' : (error as Error).message
    throw new StreamError('bad-record', `not a message ${descriptor.typeName}: ${reason}`, { cause: error })
  }
}
