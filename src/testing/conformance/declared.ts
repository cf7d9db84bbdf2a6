import assert from 'node:assert/strict'
import { always } from './applies.ts'
import type { ConformanceCase } from './types.ts'

const group = 'declared'

export const declaredCases: readonly ConformanceCase[] = [
  {
    group,
    name: 'the adapter declares what the harness says, with a name, a version and a location',
    applies: always,
    async run(context) {
      const adapter = await context.adapter()
      assert.deepEqual(adapter.capabilities, context.harness.capabilities)
      assert.equal(adapter.specification, 'v1')
      assert.ok(adapter.name.length > 0)
      assert.ok(adapter.location.length > 0)
    }
  },
  {
    group,
    name: 'there is a driver for each capability, and none for what is declared missing',
    applies: always,
    async run(context) {
      const adapter = await context.adapter()
      const { positions, groups, transactions } = adapter.capabilities
      if (positions === 'log') assert.ok(adapter.partitionReader, 'partitionReader')
      assert.equal(adapter.logReader !== undefined, positions === 'log' && groups, 'logReader')
      assert.equal(adapter.queueSubscription !== undefined, positions === 'none', 'queueSubscription')
      assert.equal(adapter.transactions !== undefined, transactions, 'transactions')
    }
  }
]
