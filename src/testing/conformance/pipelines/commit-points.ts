import assert from 'node:assert/strict'
import { systemEnvironment } from '../../../core/environment.ts'
import { always, type Applies } from '../applies.ts'
import type { CaseContext } from '../context.ts'
import type { ConformanceCase } from '../types.ts'
import type { Bank, CommitPoint } from './bank.ts'
import type { Ledger } from './ledger.ts'

/** For cases that commit in the broker. */
export function inBroker(applies: Applies): Applies {
  return (capabilities, traits) =>
    capabilities.transactions ? applies(capabilities, traits) : 'the broker has no transactions to commit in'
}

/** Each case once per place where its tasks can commit. */
export function atEachCommitPoint(
  group: string,
  name: string,
  run: (context: CaseContext, commitIn: CommitPoint) => Promise<void>,
  applies: Applies = always
): ConformanceCase[] {
  return [
    { group, name: `${name} (commits in a store)`, applies, run: context => run(context, 'store') },
    {
      group,
      name: `${name} (commits in the broker)`,
      applies: inBroker(applies),
      run: context => run(context, 'broker')
    }
  ]
}

/** Waits until so many lines are there. */
export async function booked(context: CaseContext, bank: Bank, book: Ledger, lines: number): Promise<void> {
  for (const deadline = context.deadline(); ;) {
    const found = new Set((await bank.lines(book)).map(({ id }) => id)).size
    if (found >= lines) return
    assert.ok(systemEnvironment.monotonic() < deadline, `waited in vain for ${lines} lines, found ${found}`)
    await context.sleep(20)
  }
}
