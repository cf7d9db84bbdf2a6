import type { ProducerId, Stamp } from '../core/stamp.ts'
import type { TopicMembership } from './membership.ts'
import {
  fromSnapshot,
  ProducerProgress,
  toSnapshot,
  type ProducerSnapshot,
  type TimeSnapshot
} from './producer-progress.ts'

export interface TrackerSnapshot {
  readonly watermark: TimeSnapshot
  /** Keyed by producer id in hex. */
  readonly producers: Readonly<Record<string, ProducerSnapshot>>
  /** Largest event time seen from foreign producers, if any. */
  readonly foreign?: number
}

export type Verdict = 'new' | 'duplicate' | 'gap'

/**
 * Dedupe and watermark of one partition of one topic at one reader: a pure state machine over stamps and membership.
 * One object for both, because they are one fact: which sequences of which producer are processed (law 5).
 */
export class PartitionTracker {
  /** Nothing earlier is still to come, except late records. Never goes back. */
  watermark: number
  readonly #producers = new Map<ProducerId, ProducerProgress>()
  readonly #partition: number
  readonly #lateness: number
  #membership: TopicMembership | undefined
  #membershipVersion = -1
  #foreign: number
  #lastId: ProducerId = ''
  #last: ProducerProgress | undefined

  constructor(partition: number, lateness: number, snapshot?: TrackerSnapshot) {
    this.#partition = partition
    this.#lateness = lateness
    this.watermark = fromSnapshot(snapshot?.watermark ?? null)
    this.#foreign = snapshot?.foreign ?? -Infinity
    for (const [id, progress] of Object.entries(snapshot?.producers ?? {}))
      this.#producers.set(Buffer.from(id, 'hex').toString('latin1'), new ProducerProgress(progress))
  }

  /** Is this producer one that neither the membership nor an earlier record has named? Then the membership must be read anew. */
  isStranger(producer: ProducerId): boolean {
    return producer !== this.#lastId && !this.#producers.has(producer)
  }

  /** Before processing. `gap`: records between the last one and this one are missing; `from` of the gap is `expected`. */
  judge(stamp: Stamp): Verdict {
    const progress = this.#progress(stamp.producer)
    if (stamp.sequence === progress.high + 1) return 'new'
    if (progress.has(stamp.sequence)) return 'duplicate'
    return 'gap'
  }

  /** The next sequence that this producer owes. */
  expected(producer: ProducerId): number {
    return this.#progress(producer).high + 1
  }

  /** A gap on an ordered channel is final: count it and go on. */
  skipTo(producer: ProducerId, sequence: number): void {
    this.#progress(producer).skipTo(sequence)
  }

  /** After processing. True when the watermark of the partition rose. */
  processed(stamp: Stamp): boolean {
    return this.#progress(stamp.producer).processed(stamp.sequence, stamp.watermark) && this.#raise()
  }

  /** After processing a record without a stamp: bounded disorder, a guess by the topic's lateness. */
  processedForeign(eventTime: number): boolean {
    if (eventTime <= this.#foreign) return false
    this.#foreign = eventTime
    return this.#raise()
  }

  /** Takes in what the vitals say of the producers of this topic. True when the watermark rose. */
  learn(membership: TopicMembership): boolean {
    if (this.#membership === membership && this.#membershipVersion === membership.version) return false
    this.#membership = membership
    this.#membershipVersion = membership.version
    for (const [producer, member] of membership.members) {
      const progress = this.#progress(producer)
      progress.durable ||= member.durable
      progress.promise(member.last.get(this.#partition) ?? 0, member.watermark)
    }
    return this.#raise()
  }

  /**
   * The partition has been read to its end and was silent since: what a producer reported before `before` and has not come is
   * not there. It was read by an earlier life that kept no marks, or retention has taken it. True when the watermark rose.
   */
  waive(before: number): boolean {
    let freed = false
    for (const [producer, member] of this.#membership?.members ?? []) {
      if (member.since > before) continue
      freed = this.#progress(producer).waive(member.last.get(this.#partition) ?? 0) || freed
    }
    return freed && this.#raise()
  }

  /** How many records of a producer, up to this sequence of its, are still to be processed here. */
  waiting(producer: ProducerId, sequence: number): number {
    return this.#producers.get(producer)?.waiting(sequence) ?? sequence
  }

  /** Records of foreign producers make the watermark a guess. */
  get heuristic(): boolean {
    return this.#foreign !== -Infinity
  }

  /** Who holds the watermark of this partition back: the producer with the lowest one. */
  heldBy(): ProducerId | undefined {
    let holder: ProducerId | undefined
    let lowest = Infinity
    for (const [id, progress] of this.#producers) {
      if (progress.watermark >= lowest || !this.#counts(id, progress)) continue
      lowest = progress.watermark
      holder = id
    }
    return holder
  }

  snapshot(): TrackerSnapshot {
    const producers: Record<string, ProducerSnapshot> = {}
    for (const [id, progress] of this.#producers)
      producers[Buffer.from(id, 'latin1').toString('hex')] = progress.snapshot()
    return {
      watermark: toSnapshot(this.watermark),
      producers,
      ...(this.#foreign !== -Infinity && { foreign: this.#foreign })
    }
  }

  // W_l = max(W_l, min over active producers of W_p): the clamp keeps it monotone when a producer joins (protocol W6).
  #raise(): boolean {
    // Until the membership is known, someone unheard of may still owe us the past (protocol W2).
    if (!this.#membership?.complete) return false
    let lowest = this.#foreign === -Infinity ? Infinity : this.#foreign - this.#lateness
    let anyone = this.#foreign !== -Infinity
    for (const [id, progress] of this.#producers) {
      if (!this.#counts(id, progress)) continue
      anyone = true
      if (progress.watermark < lowest) lowest = progress.watermark
    }
    if (!anyone || lowest <= this.watermark) return false
    this.watermark = lowest
    return true
  }

  // A producer that has left, or that nobody knows any more, is no end of the topic: others may come, and must not be late.
  #counts(producer: ProducerId, progress: ProducerProgress): boolean {
    const member = this.#membership?.members.get(producer)
    if (progress.watermark === Infinity && member?.left !== false) return false
    if (!member && !progress.durable && this.#membership?.strangersLifted) return false
    return member?.lifted !== true
  }

  #progress(producer: ProducerId): ProducerProgress {
    if (producer === this.#lastId && this.#last) return this.#last
    let progress = this.#producers.get(producer)
    if (!progress) this.#producers.set(producer, (progress = new ProducerProgress()))
    this.#lastId = producer
    this.#last = progress
    return progress
  }
}
