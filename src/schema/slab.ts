/** How much is taken at once. A kept record keeps its whole slab in memory, so this is not large. */
const slabSize = 16_384

/** Writes at `position` and returns the position behind, or minus the bytes that were missing. */
export type Write = (target: Buffer, position: number) => number

/**
 * Carves results out of one piece of memory after another: an allocation per 16 KiB instead of one per record. Every
 * result is its own range, never written again.
 */
export interface Slab {
  /** `header` bytes are left free before what is written; the result includes them. */
  carve(header: number, write: Write): Buffer
}

export function createSlab(size: number = slabSize): Slab {
  let slab = Buffer.alloc(0)
  let used = 0
  const take = (start: number, end: number): Buffer => {
    used = end
    return slab.subarray(start, end)
  }
  return {
    carve(header, write) {
      // Whether a value fits is known by writing it. When it does not, how long it is, is known too.
      let total = 0
      if (used + header <= slab.length) {
        const end = write(slab, used + header)
        if (end >= 0) return take(used, end)
        total = slab.length - used - end
      }
      if (total <= size / 2) {
        slab = Buffer.allocUnsafeSlow(size)
        used = 0
        const end = write(slab, header)
        if (end >= 0) return take(0, end)
        total = size - end
      }
      const own = Buffer.allocUnsafeSlow(total)
      return own.subarray(0, write(own, header))
    }
  }
}
