import {
  connect,
  json,
  keyed,
  number,
  pipeline,
  processor,
  text,
  topic,
  type Client,
  type Pipeline,
  type Topic
} from '../../src/index.ts'

export interface Job {
  readonly name: string
  /** Brokers of the input and of the output. */
  readonly from: string
  readonly to: string
  readonly store: string
  readonly sessionTimeout: number
}

export interface Order {
  readonly id: number
}
export interface Counted extends Order {
  /** How many of its key came up to it. */
  readonly nth: number
}

export interface Chain {
  readonly orders: Topic<string, string, Order>
  readonly counted: Topic<string, string, Counted>
  readonly app: Pipeline
}

/** Reads from one broker, counts by key, writes to another one. */
export function chainOf({ name }: Job): Chain {
  const orders = topic(`${name}-orders`, { key: text, value: json<Order>(), partitions: 2 })
  const counted = topic(`${name}-counted`, { key: text, value: json<Counted>(), partitions: 2 })
  const count = processor({
    name: 'count',
    from: orders,
    to: counted,
    state: { nth: keyed(number, 0) },
    async process({ key, value }, { state }) {
      await new Promise(resolve => setTimeout(resolve, 2))
      state.nth.set(state.nth.get() + 1)
      return { key, value: { id: value.id, nth: state.nth.get() } }
    }
  })
  return { orders, counted, app: pipeline(name, [count]) }
}

export function connected({ name, from, to, store }: Job): Promise<Client> {
  return connect({
    brokers: { default: from, sink: to },
    topics: { [`${name}-counted`]: { broker: 'sink' } },
    store,
    variables: {}
  })
}
