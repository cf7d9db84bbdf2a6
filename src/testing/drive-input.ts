import { sleep, type Environment } from '../core/environment.ts'
import type { Entry } from '../core/record.ts'
import type { AnyTopic } from '../core/topic.ts'
import { source, type SourceStage, type WatermarkClaim } from '../pipeline/index.ts'

/** The worker dies here: see `crash`. */
export interface Crash {
  readonly drive: 'crash'
}

/** Time passes here: see `elapse`. */
export interface Elapse {
  readonly drive: 'elapse'
  readonly milliseconds: number
}

/** What a topic is fed with: entries, claims that nothing earlier will come, and what happens between them. */
export type DriveItem = Entry<any, any> | WatermarkClaim | Crash | Elapse

/**
 * An item of the input: the worker is killed when a handler has seen the entry before it and that work is not committed
 * yet; then a new worker starts, and the rest of the input follows.
 */
export function crash(): Crash {
  return { drive: 'crash' }
}

/** An item of the input: so many milliseconds pass before the next one is written. They take no real time. */
export function elapse(milliseconds: number): Elapse {
  return { drive: 'elapse', milliseconds }
}

/**
 * The source that writes the input of one topic, of whatever time: the clock of a simulation is not that of the data.
 * `onCrash` resolves when the worker was killed behind `entries` entries.
 */
export function feedOf(
  name: string,
  topic: AnyTopic,
  items: readonly DriveItem[],
  environment: Environment,
  onCrash: (entries: number) => Promise<void>
): SourceStage {
  return source({
    name,
    to: { ...topic, maxFuture: Infinity },
    async *run() {
      let entries = 0
      for (const item of items) {
        if (!('drive' in item)) {
          if ('value' in item) entries++
          yield item as never
        } else if (item.drive === 'crash') await onCrash(entries)
        else await sleep(environment, item.milliseconds)
      }
    }
  })
}
