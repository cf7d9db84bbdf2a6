/** What became known of one morning, in this order. */
import type { Entry } from 'tidemark'

const at = <Value>(time: string, key: string, value: Value): Entry<string, Value> => ({
  key,
  value,
  eventTime: Date.parse(`2026-01-05T${time}Z`)
})

export const views: readonly Entry<string, string>[] = [
  at('09:02', 'ada', 'books'),
  at('09:08', 'ada', 'maps'),
  at('09:15', 'bob', 'books'),
  at('09:31', 'ada', 'globes'),
  at('09:47', 'bob', 'lamps'), // 32 minutes after the one before: another visit
  at('10:28', 'ada', 'globes'),
  at('11:04', 'bob', 'maps')
]

export const purchases: readonly Entry<string, number>[] = [
  at('09:10', 'ada', 500),
  at('09:51', 'bob', 300),
  at('09:50', 'ada', 250),
  at('10:30', 'ada', 100),
  at('11:05', 'bob', 900),
  at('11:10', 'ada', 50), // with it, it is known that no more purchases before 11:00 come in time
  at('09:12', 'ada', 75), // late: a till was offline
  at('08:15', 'ada', 33) // very late
]
