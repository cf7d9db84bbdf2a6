import type { Guarantee } from '../src/index.ts'

/** What a worker is started with. */
export interface Job {
  readonly name: string
  readonly url: string
  readonly store: string | undefined
  /** `TIDEMARK_` variables. */
  readonly variables: Readonly<Record<string, string>>
  readonly guarantee: Guarantee
  /** Of the fault, ms. */
  readonly duration: number
  readonly stalledAfter: number
  readonly unreachableAfter: number
  readonly sessionTimeout: number
  /** Values in each 50 ms. */
  readonly batch: number
  /** Bytes that each record carries for nothing. */
  readonly payload: number
  /** Ms that each write of the sink takes. */
  readonly slowSink: number
}

export interface Command {
  readonly handler?: 'works' | 'throws' | 'hangs' | 'blocks'
  /** Of the wall clock, ms. */
  readonly clockAhead?: number
  /** So many records that do not decode. */
  readonly poison?: number
  /** Emit no more. */
  readonly finish?: boolean
  /** Say how far it is. */
  readonly ask?: boolean
}

export interface Progress {
  readonly emitted: number
  readonly collected: number
  readonly lost: number
  readonly firstLost: number | undefined
  /** Values that were counted more than once. */
  readonly repeated: number
  readonly parked: number
  readonly rss: number
}

export interface Answer {
  readonly port?: number
  readonly progress?: Progress
  readonly poisoned?: number
  readonly ended?: boolean
  readonly failed?: string
}
