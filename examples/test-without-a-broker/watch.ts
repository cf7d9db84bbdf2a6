/** Watches boilers: an alert for each spell of heat, sent when three minutes have passed without any. */
import { json, keyed, processor, text, topic, type Stage, type Topic } from 'tidemark'

export interface Reading {
  readonly minute: number
  readonly celsius: number
}

/** First and last minute of a hot spell, and its highest temperature. */
export interface Alert {
  readonly from: number
  readonly to: number
  readonly most: number
}

const MINUTE = 60_000
const PAUSE = 3

export const readings: Topic<'readings', string, Reading> = topic('readings', {
  key: text,
  value: json<Reading>(),
  partitions: 1,
  eventTime: ({ minute }) => minute * MINUTE,
  lateness: 2 * MINUTE
})
export const alerts: Topic<'alerts', string, Alert> = topic('alerts', {
  key: text,
  value: json<Alert>(),
  partitions: 1
})

export const watch: Stage = processor({
  name: 'watch',
  from: readings,
  to: alerts,
  state: { spell: keyed(json<Alert>()) },
  process({ value: { minute, celsius }, late }, { state, timers }) {
    if (late || celsius < 80) return
    const spell = state.spell.get()
    if (spell) timers.cancel((spell.to + PAUSE) * MINUTE)
    const { from, to, most } = spell ?? { from: minute, to: minute, most: celsius }
    const grown = { from: Math.min(from, minute), to: Math.max(to, minute), most: Math.max(most, celsius) }
    state.spell.set(grown)
    timers.at((grown.to + PAUSE) * MINUTE)
  },
  onTimer({ key }, { state }) {
    const spell = state.spell.get()!
    state.spell.delete()
    return { key, value: spell }
  }
})
