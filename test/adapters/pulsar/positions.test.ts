import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  beforeAll as start,
  compareIds,
  comparePositions,
  decodeMessageId,
  encodeMessageId,
  idOf,
  type MessageId,
  positionOf
} from '../../../src/adapters/pulsar/positions.ts'

const ids = fc.record({
  ledger: fc.nat({ max: Number.MAX_SAFE_INTEGER }).map(value => value % 1e15),
  entry: fc.nat({ max: Number.MAX_SAFE_INTEGER }).map(value => value % 1e15),
  batch: fc.integer({ min: -1, max: 100_000 })
})

const decoded = (base64: string): MessageId => decodeMessageId(Buffer.from(base64, 'base64'))

describe('positions of Pulsar', () => {
  test('survive their protobuf form and their text', () => {
    fc.assert(
      fc.property(ids, id => {
        expect(decodeMessageId(encodeMessageId(id))).toEqual(id)
        expect(idOf(positionOf(id))).toEqual(id)
      })
    )
  })

  test('compare by ledger, entry and batch index, as numbers', () => {
    fc.assert(
      fc.property(ids, ids, (left, right) => {
        const expected = Math.sign(compareIds(left, right))
        expect(Math.sign(comparePositions(positionOf(left), positionOf(right)))).toBe(expected)
        expect(Math.sign(comparePositions(positionOf(right), positionOf(left)))).toBe(0 - expected)
      })
    )
    const inOrder = ['9:99', '10:2', '10:10', '10:11:0', '10:11:2', '10:11:10', '10:12']
    expect(inOrder.toSorted(comparePositions)).toEqual(inOrder)
    expect(compareIds(start, { ledger: 0, entry: 0, batch: -1 })).toBeLessThan(0)
  })

  test('are read from what a server wrote', () => {
    // Of an acknowledgement, of a reader, of a batch, and of a duplicate that was dropped.
    expect(decoded('CAYQADAA')).toEqual({ ledger: 6, entry: 0, batch: -1 })
    expect(decoded('CAYQAhgAMAA=')).toEqual({ ledger: 6, entry: 2, batch: -1 })
    expect(decoded('CBEQARgAIAMwBQ==')).toEqual({ ledger: 17, entry: 1, batch: 3 })
    expect(decoded('CP///////////wEQ////////////AQ==')).toEqual(start)
  })

  test.each(['', '1', '1:', 'a:b', '1:2:3:4', '1:2:-1', '-1:2', '1 :2', '0x1:2', '1:2\n'])('%j is none', text => {
    expect(() => idOf(text)).toThrow(/is not a position/)
  })

  test.each(['08', '0800ff', '0d00000000', '0a'])('bytes %s are no message id', hex => {
    expect(() => decodeMessageId(Buffer.from(hex === '0a' ? '0affffffff' : hex, 'hex'))).toThrow(/message id/)
  })
})
