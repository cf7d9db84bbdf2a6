import { runPipeline, runSettings, type Pipeline, type RunHost, type RunOptions } from '../../src/pipeline/index.ts'
import type { Machine } from '../core/machine.ts'

/** A program that runs on as many machines as one likes. */
export interface Service {
  readonly name: string
  /** Groups of the broker that its machines are members of. */
  readonly groups: readonly string[]
  /** Machines at the start, and at most. */
  readonly machines: number
  readonly most: number
  /** The first one starts after so many ms. Default 0. */
  readonly after?: number
  /** Resolves when it has come to its end by itself, or has drained after `stop`. */
  run(machine: Machine, host: RunHost, stop: AbortSignal): Promise<void>
}

/** A service that runs a pipeline, made anew for each machine. */
export function pipelineService(
  name: string,
  machines: number,
  options: RunOptions,
  build: (machine: Machine) => Pipeline
): Service {
  const settings = runSettings({ ...options, handleSignals: false })
  return {
    name,
    groups: ['route', 'count', 'ledger', 'gauge', 'board'].map(stage => `${name}.${stage}`),
    machines,
    most: machines + 1,
    run: (machine, host, stop) => runPipeline(host, build(machine), settings, stop)
  }
}
