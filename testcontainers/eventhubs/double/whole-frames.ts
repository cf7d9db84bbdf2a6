import { createRequire } from 'node:module'

interface Performative {
  readonly value: unknown[]
}

/** Fields of each performative, in AMQP 1.0 part 2.7. */
const fields = {
  open: 10,
  begin: 8,
  attach: 14,
  flow: 11,
  transfer: 11,
  disposition: 6,
  detach: 3,
  end: 1,
  close: 1
} as const

/** What the service says itself, instead of leaving it to the defaults of AMQP. */
const said: Readonly<Record<string, object>> = { open: { channel_max: 4_999 }, begin: { handle_max: 255 } }

/**
 * AMQP may leave out the fields at the end of a frame that are null, and rhea does. Event Hubs writes all of them, and
 * Microsoft's Python client takes a frame apart by fixed places: so here, too, every frame is whole. For this process.
 */
export function writeWholeFrames(): void {
  const frames = createRequire(import.meta.url)('rhea/lib/frames.js') as Record<
    string,
    (given?: object) => Performative
  >
  for (const [name, count] of Object.entries(fields)) {
    const create = frames[name]!
    frames[name] = given => {
      const performative = create({ ...said[name], ...given })
      for (let index = performative.value.length; index < count; index++) performative.value.push(null)
      return performative
    }
  }
}
