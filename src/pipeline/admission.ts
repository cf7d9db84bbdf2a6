import { sleep, type Environment } from '../core/environment.ts'
import type { ProducerId } from '../core/stamp.ts'
import type { AnyAdapter } from '../spec/index.ts'
import { round } from '../watermark/index.ts'
import { VitalsView } from './vitals-view.ts'

/**
 * For a plain producer that has just been announced: resolves when every reader of the topic has heard of it, or has stopped its
 * watermark. That is after a {@link round}, and at once where nobody else writes to the topic: nothing raises a watermark then.
 */
export async function waitForReaders(
  adapter: AnyAdapter,
  environment: Environment,
  topic: string,
  producer: ProducerId
): Promise<void> {
  // A queue does not tell who is there.
  if (adapter.capabilities.positions === 'none') return sleep(environment, round)
  const stop = new AbortController()
  const enough = sleep(environment, round, stop.signal).then(
    () => false,
    () => true
  )
  const view = new VitalsView(adapter, environment)
  const isAlone = async (): Promise<boolean> => {
    await view.open()
    const others = [...view.topic(topic).members].filter(([id]) => id !== producer)
    return others.every(([, { left, closed }]) => left || closed)
  }
  try {
    // Who may write to the vitals and not read them cannot know.
    const alone = isAlone().catch(() => false)
    if (!(await Promise.race([alone, enough]))) await enough
  } finally {
    stop.abort()
    await view.close()
  }
}
