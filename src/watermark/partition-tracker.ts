import { bornAt } from '../core/environment.ts'
import type { Estimate } from '../core/topic.ts'
import type { ProducerId, Stamp } from '../core/stamp.ts'
import { Belief } from './belief.ts'
import { Estimator, restful } from './estimator.ts'
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
  /** Largest time that the guess about foreign producers rests on, if there are any. */
  readonly foreign?: number
  /** Producers born up to then may be forgotten, ms since the epoch. */
  readonly forgotten?: number
}

/** What is known of a forgotten producer. Never written to. */
const nothing = new ProducerProgress()

export type Verdict = 'new' | 'duplicate' | 'gap' | 'forgotten'

/**
 * Dedupe and watermark of one partition of one topic at one reader: a pure state machine over stamps and membership.
 * One object for both, because they are one fact: which sequences of which producer are processed (law 5).
 */
export class PartitionTracker {
  /** Nothing earlier is still to come, except late records. Never goes back. */
  watermark: number
  readonly belief: Belief = new Belief()
  readonly #producers = new Map<ProducerId, ProducerProgress>()
  readonly #partition: number
  readonly #foreign: Estimator
  #membership: TopicMembership | undefined
  #membershipVersion = -1
  #forgotten: number
  #lookedAt = -Infinity
  #lastId: ProducerId = ''
  #last: ProducerProgress | undefined

  /** @param lateness of the topic, ms, and how to guess about producers that promise nothing: for those only */
  constructor(
    partition: number,
    lateness: number,
    snapshot?: TrackerSnapshot,
    estimate: Estimate = 'bounded-disorder'
  ) {
    this.#partition = partition
    this.watermark = fromSnapshot(snapshot?.watermark ?? null)
    this.#foreign = new Estimator(estimate, lateness, snapshot?.foreign ?? -Infinity)
    this.#forgotten = snapshot?.forgotten ?? -Infinity
    for (const [id, progress] of Object.entries(snapshot?.producers ?? {}))
      this.#producers.set(Buffer.from(id, 'hex').toString('latin1'), new ProducerProgress(progress))
  }

  /** Is this producer one that neither the membership nor an earlier record has named? Then the membership must be read anew. */
  isStranger(producer: ProducerId): boolean {
    return producer !== this.#lastId && !this.#producers.has(producer)
  }

  /**
   * Before processing. `gap`: records between the last one and this one are missing; `from` of the gap is `expected`.
   * `forgotten`: it may be a repeat, and what would tell is gone.
   */
  judge(stamp: Stamp): Verdict {
    const progress = this.#progress(stamp.producer)
    if (stamp.sequence === progress.high + 1) return progress === nothing ? 'forgotten' : 'new'
    if (progress.has(stamp.sequence)) return 'duplicate'
    return progress === nothing ? 'forgotten' : 'gap'
  }

  /** A plain producer of a process that has ended, so long ago that what it sent is not known any more (protocol 2.4). */
  isForgotten(producer: ProducerId): boolean {
    return this.#forgotten !== -Infinity && this.#progress(producer) === nothing
  }

  /**
   * Drops what is known of plain producers that have ended and were silent for `after` ms: it would grow with every start of
   * a process. What then comes of producers born as early as those is `forgotten`: refused, never taken for new.
   *
   * @param now ms since the epoch
   */
  forget(now: number, after: number): void {
    // Who has ended is in the vitals. And not at every call: what is remembered a little longer does no harm.
    if (!this.#membership?.complete || (now >= this.#lookedAt && now - this.#lookedAt < after / 100)) return
    this.#lookedAt = now
    for (const [id, progress] of this.#producers) {
      if (progress.heard || progress.silentSince === undefined || progress.silentSince > now) {
        progress.heard = false
        progress.silentSince = now
        continue
      }
      const born = bornAt(id)
      if (now - progress.silentSince < after || born === undefined || progress.durable || this.#isAlive(id)) continue
      this.#producers.delete(id)
      this.#forgotten = Math.max(this.#forgotten, born)
      this.#lastId = ''
    }
  }

  /** The next sequence that this producer owes. */
  expected(producer: ProducerId): number {
    return this.#progress(producer).high + 1
  }

  /** A gap on an ordered channel is final: count it and go on. */
  skipTo(producer: ProducerId, sequence: number): void {
    this.#progress(producer).skipTo(sequence)
  }

  /**
   * On a channel without order: gives up what has been missing for `after` ms, and frees the watermark of it.
   *
   * @param now monotonic ms
   */
  giveUp(now: number, after: number): { readonly producer: ProducerId; readonly from: number; readonly to: number }[] {
    const given = []
    for (const [producer, progress] of this.#producers)
      for (let gap; (gap = progress.giveUp(now, after));) given.push({ producer, ...gap })
    if (given.length > 0) this.#raise()
    return given
  }

  /** After processing. True when the watermark of the partition rose. */
  processed(stamp: Stamp): boolean {
    const progress = this.#progress(stamp.producer)
    return progress !== nothing && progress.processed(stamp.sequence, stamp.watermark) && this.#raise()
  }

  /**
   * After processing a record without a stamp. True when the watermark rose, which is then a guess.
   *
   * @param brokerTime when the broker got it
   * @param latest what is beyond it comes of a wrong clock, and says nothing
   */
  processedForeign(eventTime: number, brokerTime: number = eventTime, latest: number = Infinity): boolean {
    return this.#foreign.seen(eventTime, brokerTime, latest) && this.#raise()
  }

  /** Nothing has come for `silence` ms, and nothing waits: to some guesses that is news. True when the watermark rose. */
  silent(silence: number, now: number): boolean {
    return this.#foreign.silent(silence, now) && this.#raise()
  }

  /** Time may go on although nothing comes, and only its reader can tell: it is to look again after so long, ms. */
  get lookIn(): number | undefined {
    return this.#foreign.goesOn ? restful : undefined
  }

  /** Takes in what the vitals say of the producers of this topic. True when the watermark rose. */
  learn(membership: TopicMembership): boolean {
    if (this.#membership === membership && this.#membershipVersion === membership.version) return false
    this.#membership = membership
    this.#membershipVersion = membership.version
    for (const [producer, member] of membership.members) {
      const progress = this.#progress(producer)
      if (progress === nothing) continue
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
      const progress = this.#progress(producer)
      if (progress !== nothing) freed = progress.waive(member.last.get(this.#partition) ?? 0) || freed
    }
    return freed && this.#raise()
  }

  /** How many records of a producer, up to this sequence of its, are still to be processed here. */
  waiting(producer: ProducerId, sequence: number): number {
    return this.#producers.get(producer)?.waiting(sequence) ?? sequence
  }

  /** Records of foreign producers make the watermark a guess. */
  get heuristic(): boolean {
    return this.#foreign.speaks
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
      ...(this.#foreign.speaks && { foreign: this.#foreign.newest }),
      ...(this.#forgotten !== -Infinity && { forgotten: this.#forgotten })
    }
  }

  // W_l = max(W_l, min over active producers of W_p): the clamp keeps it monotone when a producer joins (protocol W6).
  #raise(): boolean {
    // Until the membership is known, someone unheard of may still owe us the past (protocol W2).
    const membership = this.#membership
    if (!membership?.complete) return false
    let anyone = this.#foreign.speaks
    let lowest = anyone ? this.#foreign.watermark : Infinity
    for (const [id, progress] of this.#producers) {
      if (!this.#counts(id, progress)) continue
      if (membership.isUntold(id)) return false
      anyone = true
      if (progress.watermark < lowest) lowest = progress.watermark
    }
    if (!anyone || lowest <= this.watermark) return false
    const reached = membership.stale ? this.belief.reached(lowest, membership) : lowest
    if (reached <= this.watermark) return false
    this.watermark = reached
    return true
  }

  // A producer that has left, or that nobody knows any more, is no end of the topic: others may come, and must not be late.
  #counts(producer: ProducerId, progress: ProducerProgress): boolean {
    const member = this.#membership?.members.get(producer)
    if (progress.watermark === Infinity && member?.left !== false) return false
    if (!member && !progress.durable && this.#membership?.strangersLifted) return false
    return member?.lifted !== true
  }

  #isAlive(producer: ProducerId): boolean {
    const member = this.#membership?.members.get(producer)
    return member !== undefined && !member.left && !member.lifted && !member.closed
  }

  /** {@link nothing} of one that may be forgotten. */
  #progress(producer: ProducerId): ProducerProgress {
    if (producer === this.#lastId && this.#last) return this.#last
    let progress = this.#producers.get(producer)
    if (!progress) {
      const born = this.#forgotten === -Infinity ? undefined : bornAt(producer)
      if (born !== undefined && born <= this.#forgotten) progress = nothing
      else this.#producers.set(producer, (progress = new ProducerProgress()))
    }
    this.#lastId = producer
    this.#last = progress
    return progress
  }
}
