import { type Environment, sleep } from '../../core/environment.ts'
import type { VendorBroker } from './client.ts'
import type { Connection } from './connection.ts'
import { protocolCode } from './errors.ts'

export interface Coordinator {
  readonly kind: 'transaction' | 'group'
  readonly id: string
  readonly environment: Environment
  /** Ms to go on asking. */
  readonly patience: number
}

/** CONCURRENT_TRANSACTIONS: the transaction before is still being ended. */
const concurrent = 51
/** Loading, not appointed, moved. */
const busy: readonly number[] = [14, 15, 16, concurrent]
/** UNKNOWN_TOPIC_OR_PARTITION, while the topic in which the coordinator of a group keeps offsets is being created. */
const unknown = 3

/**
 * Asks again while the coordinator answers that it is not ready: nothing has happened then, so this repeats no request that
 * may have taken effect.
 */
export async function askCoordinator<Result>(
  connection: Connection,
  { kind, id, environment, patience }: Coordinator,
  act: (coordinator: VendorBroker) => Promise<Result>
): Promise<Result> {
  const started = environment.monotonic()
  for (let delay = 1; ; delay = Math.min(delay * 2, 50)) {
    try {
      return await act(await connection.coordinator(kind, id))
    } catch (error) {
      const code = protocolCode(error)
      if (code !== concurrent) connection.forgetCoordinator(kind, id)
      const again = code !== undefined && (busy.includes(code) || (code === unknown && kind === 'group'))
      if (!again || environment.monotonic() - started > patience) throw error
    }
    await sleep(environment, delay)
  }
}
