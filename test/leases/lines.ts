import { bindTopic, decodeRecord } from '../../src/broker/index.ts'
import { decodeStamp } from '../../src/core/stamp.ts'
import type { AnyAdapter } from '../../src/spec/index.ts'
import type { ledger, Line } from '../../src/testing/conformance/index.ts'

/** Every line as a reader with this library sees it: repeats of the relay are dropped. */
export async function linesOf(
  adapter: AnyAdapter,
  { lines }: ReturnType<typeof ledger>
): Promise<{ account: string; line: Line }[]> {
  if (!(await adapter.admin().describeTopic(lines.name))) return []
  const bound = await bindTopic(lines, adapter, lines.partitions!, undefined)
  const seen = new Set<string>()
  const found: { account: string; line: Line }[] = []
  for (let partition = 0; partition < bound.partitions; partition++) {
    const place = { topic: lines.name, partition }
    const reader = await adapter.partitionReader!({
      ...place,
      from: 'earliest',
      readCommitted: true,
      maxBytes: 1 << 20
    })
    for (let atEnd = false; !atEnd;) {
      const received = await reader.receive({ wait: 0 })
      atEnd = received.atEnd
      for (const raw of received.records) {
        const { producer, sequence } = decodeStamp(raw.stamp!)
        const id = `${partition} ${sequence} ${producer}`
        if (seen.has(id)) continue
        seen.add(id)
        const { key, value } = decodeRecord(bound, place, raw)
        found.push({ account: key as string, line: value as Line })
      }
    }
    await reader.close()
  }
  return found
}
