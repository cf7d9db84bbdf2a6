import type { MemoryBroker } from '../../src/adapters/memory/index.ts'
import { headerText } from '../../src/core/record.ts'
import { decodeStamp } from '../../src/core/stamp.ts'
import { decodeHead } from '../../src/exactly-once/index.ts'
import type { Committed } from './journal.ts'
import type { Problems } from './problems.ts'
import { identity, received, written, type Read } from './topic-log.ts'

/** What a run has left behind: the commits, and the topics as they lie there. */
export class Evidence {
  readonly commits: readonly Committed[]
  readonly broker: MemoryBroker
  readonly problems: Problems
  readonly #onceForAll: boolean
  readonly #readable = new Map<string, readonly Read[]>()
  readonly #committed = new Map<string, readonly Read[]>()

  /** @param onceForAll repeats are wrong, though a reader with this library would drop them */
  constructor(broker: MemoryBroker, commits: readonly Committed[], problems: Problems, onceForAll: boolean = false) {
    this.#onceForAll = onceForAll
    this.broker = broker
    this.problems = problems
    this.commits = commits.length > 0 ? commits : changelogs(broker)
  }

  /** What a reader with this library gets, repeats dropped. */
  readable(topic: string): readonly Read[] {
    let reads = this.#readable.get(topic)
    if (reads) return reads
    // What plain producers send again is there again.
    const onceForAll = this.#onceForAll && this.commits.some(commit => commit.outputs?.some(to => to.topic === topic))
    this.#readable.set(topic, (reads = received(this.broker, topic, this.problems, onceForAll)))
    return reads
  }

  /** What was committed for the topic, in the order of the commits. Where that is one step with the writing, what is there. */
  committed(topic: string): readonly Read[] {
    let reads = this.#committed.get(topic)
    if (reads) return reads
    if (this.commits.every(({ outputs }) => outputs === undefined)) reads = this.readable(topic)
    else
      reads = this.commits.flatMap(({ outputs = [] }) =>
        outputs.flatMap(record =>
          record.topic === topic && record.stamp
            ? [{ partition: record.partition, raw: { ...record, position: '' }, stamp: decodeStamp(record.stamp) }]
            : []
        )
      )
    this.#committed.set(topic, reads)
    return reads
  }

  /** Committed, and not there. */
  missing(topic: string): readonly Read[] {
    const there = new Set(this.readable(topic).map(identity))
    return this.committed(topic).filter(read => !there.has(identity(read)))
  }

  /** The last commit of each task of a stage. */
  last(stage: string): Committed[] {
    const last = new Map<string, Committed>()
    for (const commit of this.commits) if (commit.task.split('/')[1] === stage) last.set(commit.task, commit)
    return [...last.values()]
  }
}

/** The commits that a broker keeps itself. */
function changelogs(broker: MemoryBroker): Committed[] {
  return broker
    .topicNames()
    .filter(topic => topic.endsWith('.changelog'))
    .flatMap(topic =>
      written(broker, topic).flatMap(({ raw }) => {
        const key = Buffer.from(raw.key!).toString('latin1')
        const [task = '', kind] = key.split('\0')
        if (kind !== 'h' || !raw.value) return []
        const number = Number(headerText(raw.headers, 'number'))
        return [{ task, number, epoch: 0, head: decodeHead(raw.value, task), outputs: undefined }]
      })
    )
}
