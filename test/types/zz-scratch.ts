import { text, number, json, topic, keyed, type Topic, type Entry, type StreamRecord } from '../../src/index.ts'
import type { Topics, RecordOf, EntryOf, Outputs } from '../../src/pipeline/index.ts'
const a = topic('aaa', { key: text, value: number })
const b = topic('bbb', { key: text, value: text })
declare function p0<const From extends Topics, const To extends Topics = never>(o: { from: From; to?: To; process(r: RecordOf<From>): Outputs<To> }): void
p0({ from: a, to: [a, b], process: ({ key }) => ({ topic: 'bbb', key, value: 'x' }) })
declare function p1<const From extends Topics, const To extends Topics = never>(o: { from: From; to?: To; process(r: RecordOf<From>): Outputs<NoInfer<To>> }): void
p1({ from: a, to: [a, b], process: ({ key }) => ({ topic: 'bbb', key, value: 'x' }) })
declare function p2<const From extends Topics, const To extends Topics = never>(o: { from: From; to?: To; process(r: RecordOf<From>, c: { to?: To }): Outputs<NoInfer<To>> }): void
p2({ from: a, to: [a, b], process: ({ key }, c) => ({ topic: 'bbb', key, value: 'x' }) })
declare function p3<const From extends Topics, const To extends Topics = never>(o: { from: From; to?: To; process(r: RecordOf<From>): EntryOf<To> }): void
p3({ from: a, to: [a, b], process: ({ key }) => ({ topic: 'bbb', key, value: 'x' }) })
declare function p4<const From extends Topics, const To extends Topics = never, R extends Outputs<To> = Outputs<To>>(o: { from: From; to?: To; process(r: RecordOf<From>): R }): void
p4({ from: a, to: [a, b], process: ({ key }) => ({ topic: 'bbb', key, value: 'x' }) })
declare function p5<const From extends Topics, const To extends Topics = never, const R extends Outputs<To> = Outputs<To>>(o: { from: From; to?: To; process(r: RecordOf<From>): R }): void
p5({ from: a, to: [a, b], process: ({ key }) => ({ topic: 'bbb', key, value: 'x' }) })
p5({ from: a, to: [a, b], process: async ({ key }) => ({ topic: 'bbb', key, value: 'x' }) })
p5({ from: a, to: [a, b], process: async function*({ key }) { yield { topic: 'bbb', key, value: 'x' } } })
p5({ from: a, to: [a, b], process: ({ key }) => { if (key === 'x') return; return [{ topic: 'bbb', key, value: 'x' }] } })
p5({ from: a, to: [a, b], process: () => {} })
p5({ from: a, to: [a, b], process: async () => {} })
p5({ from: a, to: a, process: ({ key }) => ({ key, value: 5 }) })
p5({ from: a, to: a, process: ({ key }) => ({ key, value: 'no' }) })
p5({ from: a, process: ({ key }) => {} })
p5({ from: a, to: [a, b], process: ({ key }) => ({ topic: 'aaa', key, value: 'x' }) })
p5({ from: a, to: [a, b], process: ({ key }) => ({ topic: 'ccc', key, value: 'x' }) })
