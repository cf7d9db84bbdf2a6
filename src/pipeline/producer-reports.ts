import type { BoundTopic, ProducerReports } from '../broker/index.ts'
import { waitForReaders } from './admission.ts'
import {
  FailureRate,
  findTroubles,
  noCounts,
  Tally,
  TroubleBook,
  type ReportedHealth,
  type VitalsState
} from '../watermark/index.ts'
import type { TopicResolver } from './topics.ts'
import { VitalsPublisher, type VitalsReport } from './vitals-publisher.ts'
import { ensureVitals } from './vitals-topic.ts'

/** Lets a plain producer tell readers how far it has come: it joins, reports each second, and says goodbye. */
export async function producerReports(
  { environment, vitalsBroker }: Pick<TopicResolver, 'environment' | 'vitalsBroker'>,
  bound: BoundTopic,
  interval: number
): Promise<ProducerReports> {
  const { topic } = bound
  const adapter = vitalsBroker ?? bound.adapter
  await ensureVitals(adapter, environment)
  const publisher = new VitalsPublisher(adapter, environment, interval)
  let id = ''
  let current = -Infinity
  const tally = new Tally(topic.interval, 1)
  const lately = new FailureRate()
  const book = new TroubleBook()
  let late = 0
  const health = (): ReportedHealth => {
    const lateRate = lately.share(environment.monotonic())
    const moment = { now: environment.now(), monotonic: environment.monotonic() }
    const found = findTroubles(`producer/${hex(id)}`, [], new Map(), new Map(), { lateOut: lateRate }, moment)
    return { pending: 0, failureRate: 0, lateRate, upstream: {}, troubles: book.note(found, moment.now) }
  }
  const report = (state: VitalsState, watermark: number, last: ReadonlyMap<number, number>): VitalsReport => {
    const emitted = [...last.values()].reduce((sum, sequence) => sum + sequence, 0)
    const outputs = new Map([[topic.name, { watermark, last: new Map(last), sent: tally.snapshot() }]])
    const task = `producer/${hex(id)}`
    return {
      producer: id,
      task,
      durable: false,
      state,
      watermark: current,
      outputs,
      counts: { ...noCounts, emitted, late },
      commit: 0,
      health
    }
  }
  let due = false
  return {
    async join(producer) {
      id = producer
      await publisher.announce([report('joining', -Infinity, new Map())])
      // A queue forgets: who comes later must hear of it, too.
      if (adapter.capabilities.positions === 'none') publisher.report(report('joining', -Infinity, new Map()))
      await waitForReaders(adapter, environment, topic.name, producer)
    },
    progress(watermark, last) {
      current = watermark
      // One report per interval is enough; what it says is read when it is made.
      if (due) return
      due = true
      environment.timer(
        interval / 4,
        () => {
          due = false
          publisher.report(report('active', current, last))
        },
        true
      )
    },
    sent(eventTime, isLate) {
      tally.add(eventTime, 0)
      if (isLate) late++
      lately.add(1, isLate ? 1 : 0, environment.monotonic())
    },
    async close(last) {
      publisher.report(report('left', Infinity, last))
      await publisher.close()
    }
  }
}

const hex = (id: string): string => Buffer.from(id, 'latin1').toString('hex')
