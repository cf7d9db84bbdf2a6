import { StreamError } from '../../core/errors.ts'
import type { VendorBroker } from './client.ts'
import { Reader } from './wire.ts'

/** A request whose bytes are made and read here; kafkajs puts the header before it and finds the answer. */
export interface Call<Answer> {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  readonly body: Buffer
  /** Reads the answer, after the throttle time where the version has it first. */
  readonly decode: (reader: Reader) => Answer
  /** The first field is a throttle time that the client must keep. */
  readonly throttleFirst: boolean
  /** Ms; default: the client's own. */
  readonly timeout?: number
  /** False: the broker does not answer, and the call resolves with `undefined`. */
  readonly answered?: boolean
}

export async function callBroker<Answer>(broker: VendorBroker, call: Call<Answer>): Promise<Answer> {
  const { apiKey, apiVersion, apiName, body, answered = true } = call
  return broker.connectionPool.send({
    request: {
      apiKey,
      apiVersion,
      apiName,
      expectResponse: () => answered,
      encode: async () => ({ buf: body, buffer: body })
    },
    response: {
      decode: async payload => {
        const reader = new Reader(payload)
        const clientSideThrottleTime = call.throttleFirst ? reader.int32() : 0
        return { clientSideThrottleTime, answer: call.decode(reader) }
      },
      parse: async decoded => decoded.answer
    },
    requestTimeout: call.timeout ?? null
  })
}

/** The newest version of a request that the broker understands, at most `newest`. Throws `unsupported`. */
export function versionOf(
  broker: VendorBroker,
  apiKey: number,
  apiName: string,
  oldest: number,
  newest: number
): number {
  const known = broker.versions?.[apiKey]
  const version = Math.min(newest, known?.maxVersion ?? -1)
  if (version < oldest || version < (known?.minVersion ?? 0))
    throw new StreamError('unsupported', `the broker does not speak version ${oldest} to ${newest} of ${apiName}`, {
      adapter: 'kafka'
    })
  return version
}
