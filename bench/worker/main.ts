/** `node --expose-gc main.ts JOB`: a pipeline in a process of its own, so that who loads it and who times it do not slow it. */
import { subscribe } from 'node:diagnostics_channel'
import { connect, keyed, number, pipeline, processor, type Diagnostics } from '../../src/index.ts'
import { byteTopic } from '../records.ts'
import type { Answer, Job } from './job.ts'

const job = JSON.parse(process.argv[2]!) as Job
const answer = (word: Answer): void => void process.send!(word)

// The warning of kafkajs about a negative timer is harmless.
process.removeAllListeners('warning')
subscribe('tidemark:task-assigned', event => {
  answer({ type: 'assigned', task: (event as Diagnostics['task-assigned']).task })
})
subscribe('tidemark:changelog-followed', event => {
  answer({ type: 'followed', task: (event as Diagnostics['changelog-followed']).task })
})

const stop = new AbortController()
process.on('message', (word: 'memory' | 'stop') => {
  if (word === 'stop') return stop.abort()
  globalThis.gc?.()
  const { heapUsed: heap, external: outside, rss: resident } = process.memoryUsage()
  answer({ type: 'memory', heap, outside, resident, peak: process.resourceUsage().maxRSS * 1_024 })
})
// Who started it is gone.
process.once('disconnect', () => process.exit(1))

const stages = job.topics.slice(1).map((to, index) => {
  const common = { name: `stage-${index + 1}`, from: byteTopic(job.topics[index]!, job.partitions) }
  const last = index === job.topics.length - 2
  if (!job.stateful || !last)
    return processor({
      ...common,
      to: byteTopic(to, job.partitions),
      process: ({ key, value }) => ({ key, value })
    })
  return processor({
    ...common,
    to: byteTopic(to, job.partitions),
    state: { count: keyed(number, 0) },
    process({ key, value }, { state }) {
      state.count.set(state.count.get() + 1)
      return { key, value }
    }
  })
})

const { url, store, name, guarantee, sessionTimeout, maxStateBytes, standby } = job
const client = await connect({ brokers: { default: url }, variables: {}, ...(store !== undefined && { store }) })
await client.run(pipeline(name, stages), {
  guarantee,
  commitInterval: 100,
  signal: stop.signal,
  ...(sessionTimeout !== undefined && { sessionTimeout }),
  ...(maxStateBytes !== undefined && { maxStateBytes }),
  ...(standby !== undefined && { standby })
})
await client.close()
process.disconnect()
