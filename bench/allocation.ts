import { Session, type HeapProfiler } from 'node:inspector/promises'

/** What was allocated on the heap of the virtual machine, whatever has become of it; the bytes of large buffers are elsewhere. */
export interface Allocation {
  readonly bytes: number
  /** Functions that allocated most themselves: name and place, bytes. */
  readonly top: readonly (readonly [string, number])[]
}

const interval = 16 * 1_024

/** Samples allocations while `work` runs, one every 16 KiB. It makes the work slower: time something else. */
export async function allocated(work: () => Promise<unknown>, most: number): Promise<Allocation> {
  const session = new Session()
  session.connect()
  try {
    await session.post('HeapProfiler.startSampling', {
      samplingInterval: interval,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true
    })
    await work()
    const { profile } = await session.post('HeapProfiler.stopSampling')
    const byFunction = new Map<string, number>()
    add(profile.head, byFunction)
    const sorted = [...byFunction].toSorted(([, left], [, right]) => right - left)
    return { bytes: sorted.reduce((sum, [, bytes]) => sum + bytes, 0), top: sorted.slice(0, most) }
  } finally {
    session.disconnect()
  }
}

function add({ callFrame, selfSize, children }: HeapProfiler.SamplingHeapProfileNode, to: Map<string, number>): void {
  const { functionName, url, lineNumber } = callFrame
  const place = url === '' ? '' : ` ${url.replace(/^.*\/(?=src\/|bench\/|node_modules\/)/, '')}:${lineNumber + 1}`
  const name = `${functionName || '(anonymous)'}${place}`
  if (selfSize > 0) to.set(name, (to.get(name) ?? 0) + selfSize)
  for (const child of children) add(child, to)
}
