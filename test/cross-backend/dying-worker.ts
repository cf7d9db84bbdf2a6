/**
 * `node dying-worker.ts JOB WHEN NTH`: a worker that kills itself at its NTH commit or, of Kafka, transaction.
 *
 * - `committed`: the store has the commit, and nothing of it has been sent.
 * - `sent`: the outputs are on the broker, or on their way, and the store does not know.
 * - `written`: the outputs are in a transaction that is open.
 * - `ended`: the end of the transaction is on its way, and nobody will hear the answer.
 */
import { subscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import { chainOf, connected, type Job } from './job.ts'

const [given, when, nth] = process.argv.slice(2)
const job = JSON.parse(given!) as Job

let seen = 0
const isNow = (): boolean => ++seen === Number(nth)
const die = (): void => void process.kill(process.pid, 'SIGKILL')

subscribe('tidemark:commit', event => {
  if ((when !== 'committed' && when !== 'sent') || (event as { outputs: number }).outputs === 0 || !isNow()) return
  // The next commit, 50 ms from now, would tell the store.
  if (when === 'sent') setTimeout(die, 30)
  else die()
})

/** Of Kafka's requests, behind four bytes of length. */
const endTxn = 26
const write = Socket.prototype.write
Socket.prototype.write = function (this: Socket, ...sent: unknown[]): boolean {
  const [bytes] = sent
  const isEnd = bytes instanceof Uint8Array && bytes.length > 6 && Buffer.from(bytes).readInt16BE(4) === endTxn
  const dies = isEnd && (when === 'written' || when === 'ended') && isNow()
  if (dies && when === 'written') die()
  const result = Reflect.apply(write, this, sent) as boolean
  if (dies) die()
  return result
} as typeof write

const client = await connected(job)
await client.run(chainOf(job).app, { sessionTimeout: job.sessionTimeout, commitInterval: 50 })
await client.close()
