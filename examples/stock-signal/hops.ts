/**
 * From a ticker to a signal, over six services of as many teams and three brokers:
 *
 *     ticker --ticks--> clean --prices--> average --averages--> momentum --momenta--> risk --scores--> decide --signals-->
 *            (one)            (two)               (two)                  (three)           (three)   ^        --withheld-->
 *                                                                                        questions --+            (three)
 *
 * The last one answers questions, and only while what it knows is timely: nobody else need tell it that a hop far above is in
 * trouble, and which.
 */
import { setTimeout } from 'node:timers/promises'
import { json, keyed, pipeline, processor, source, text, topic, when, type Pipeline, type Topic } from 'tidemark'
import { readQuotes, type Quote } from './data.ts'

export interface Averages extends Quote {
  readonly fast: number
  readonly slow: number
}

export interface Score extends Averages {
  /** How far the fast average is above the slow one, as a share. */
  readonly momentum: number
  /** How much the price moves, as a share. */
  readonly risk: number
}

/** Should I buy or sell it? */
export interface Question {
  readonly symbol: string
  readonly number: number
}

export interface Signal extends Question {
  readonly advice: 'buy' | 'sell' | 'hold'
  readonly price: number
  /** How old what it rests on is, ms. */
  readonly behind: number
  /** Records that were still on their way. */
  readonly pending: number
  readonly failureRate: number
  readonly late: number
}

/** What a fault makes a hop do. */
export interface Mood {
  /** Time that each record takes, ms. */
  takes: number
  /** Every so many-th record fails at the first attempt. */
  failsEach: number
  /** Every so many-th quote comes ten seconds too late. */
  lateEach: number
}

const key = text
const partitions = 1
export const ticks: Topic<'ticks', string, Quote> = topic('ticks', { key, value: json(), partitions })
export const prices: Topic<'prices', string, Quote> = topic('prices', { key, value: json(), partitions })
export const averages: Topic<'averages', string, Averages> = topic('averages', { key, value: json(), partitions })
export const momenta: Topic<'momenta', string, Omit<Score, 'risk'>> = topic('momenta', {
  key,
  value: json(),
  partitions
})
export const scores: Topic<'scores', string, Score> = topic('scores', { key, value: json(), partitions })
export const questions: Topic<'questions', string, Question> = topic('questions', { key, value: json(), partitions })
export const signals: Topic<'signals', string, Signal> = topic('signals', { key, value: json(), partitions })
export const withheld: Topic<'withheld', string, Question | Score> = topic('withheld', {
  key,
  value: json(),
  partitions
})

/** Which of the three brokers has which topic. */
export const topics: Readonly<Record<string, { readonly broker: string }>> = {
  ticks: { broker: 'one' },
  prices: { broker: 'two' },
  averages: { broker: 'two' },
  momenta: { broker: 'three' },
  scores: { broker: 'three' },
  questions: { broker: 'three' },
  signals: { broker: 'three' },
  withheld: { broker: 'three' }
}

/** Name of the service -> its pipeline. */
export function services(mood: Mood): Readonly<Record<string, () => Pipeline>> {
  let count = 0
  const failed = new Set<number>()
  /** The trouble of a hop, before its work. */
  const suffer = async (): Promise<void> => {
    if (mood.takes > 0) await setTimeout(mood.takes)
    count++
    if (mood.failsEach === 0 || count % mood.failsEach !== 0 || failed.has(count)) return
    failed.add(count)
    throw new Error('the moon is full')
  }
  const failure = { retries: 10, backoff: { first: 20, most: 100 } }

  const ticker = source({
    name: 'ticker',
    to: ticks,
    async *run({ resume, signal }) {
      const quotes = await readQuotes()
      for (let next = Number(resume ?? 0); !signal.aborted; next++) {
        const quote = quotes[next % quotes.length]!
        const isLate = mood.lateEach > 0 && next % mood.lateEach === 0
        yield { key: quote.symbol, value: quote, eventTime: Date.now() - (isLate ? 10_000 : 0), cursor: next + 1 }
        await setTimeout(20, undefined, { signal }).catch(() => {})
      }
    }
  })

  const clean = processor({
    name: 'clean',
    from: ticks,
    to: prices,
    failure,
    async process({ key, value }) {
      await suffer()
      return value.price > 0 ? { key, value } : undefined
    }
  })

  const average = processor({
    name: 'average',
    from: prices,
    to: averages,
    failure,
    state: { fast: keyed(json<number | null>(), null), slow: keyed(json<number | null>(), null) },
    async process({ key, value }, { state }) {
      await suffer()
      const fast = blend(state.fast.get(), value.price, 0.3)
      const slow = blend(state.slow.get(), value.price, 0.05)
      state.fast.set(fast)
      state.slow.set(slow)
      return { key, value: { ...value, fast, slow } }
    }
  })

  const momentum = processor({
    name: 'momentum',
    from: averages,
    to: momenta,
    failure,
    async process({ key, value }) {
      await suffer()
      return { key, value: { ...value, momentum: value.fast / value.slow - 1 } }
    }
  })

  const risk = processor({
    name: 'risk',
    from: momenta,
    to: scores,
    failure,
    state: { last: keyed(json<{ price: number; risk: number } | null>(), null) },
    async process({ key, value }, { state }) {
      await suffer()
      const last = state.last.get()
      const move = last ? Math.abs(value.price / last.price - 1) : 0
      const risk = blend(last?.risk ?? null, move, 0.1)
      state.last.set({ price: value.price, risk })
      return { key, value: { ...value, risk } }
    }
  })

  const decide = processor({
    name: 'decide',
    from: [scores, questions],
    to: signals,
    state: { score: keyed(json<Score | null>(), null) },
    guard: when({ behind: '2s', failureRate: 0.02, lateRate: 0.02 }, { only: questions, otherwise: withheld }),
    process(record, { state, timeliness }) {
      if (record.topic === 'scores') {
        state.score.set(record.value)
        return undefined
      }
      const score = state.score.get()
      const { behind, pendingUpstream: pending, failureRate, late } = timeliness
      const about = { behind: Math.round(behind), pending, failureRate, late }
      return {
        key: record.key,
        value: { ...record.value, advice: adviceOf(score), price: score?.price ?? 0, ...about }
      }
    }
  })

  return {
    ticker: () => pipeline('exchange', [ticker]),
    clean: () => pipeline('quotes', [clean]),
    average: () => pipeline('research', [average]),
    momentum: () => pipeline('analysis', [momentum]),
    risk: () => pipeline('compliance', [risk]),
    decide: () => pipeline('trading', [decide])
  }
}

function adviceOf(score: Score | null): Signal['advice'] {
  if (!score || Math.abs(score.momentum) < score.risk) return 'hold'
  return score.momentum > 0 ? 'buy' : 'sell'
}

function blend(before: number | null, value: number, weight: number): number {
  return before === null ? value : before + weight * (value - before)
}
