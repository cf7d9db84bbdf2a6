import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Harness, LedgerJob } from '../../src/testing/conformance/index.ts'

/** Workers of the pipeline cases as processes of their own, on the broker at this address. */
export function workerAt(url: string): NonNullable<Harness['spawnWorker']> {
  return (job: LedgerJob) => {
    const script = fileURLToPath(new URL('./ledger-worker.ts', import.meta.url))
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, url, JSON.stringify(job)], {
      stdio: ['ignore', 'ignore', 'inherit']
    })
    const exited = new Promise<number | null>(resolve => child.once('exit', resolve))
    return { exited, kill: signal => void child.kill(signal) }
  }
}
