import { expect } from 'vitest'
import type { ClientStore } from '../../src/exactly-once/index.ts'
import { Owner, retried } from './postgres-owner.ts'
import { task } from './stores.ts'

/** Acquires, commits, leases, positions: everything that a worker says to a server. Closes the store. */
export async function everything(store: ClientStore): Promise<{ unclear: number }> {
  const owner = new Owner(store, task)
  await owner.acquire()
  for (let number = 1; number <= 4; number++) expect(await owner.commit()).toBe(true)
  const seen = async (): Promise<readonly unknown[]> => retried(() => store.leases('scope'))
  // A lease that was taken without an answer is ours: the row says so.
  if (!(await retried(() => store.take('scope', '0', 'me', undefined)))) expect(await seen()).toHaveLength(1)
  await retried(() => store.beat('scope', 'me'))
  await retried(() => store.ask('scope', '0', 'you'))
  const place = { topic: 't', partition: 0, position: '7' }
  const holding = { scope: 'scope', owner: 'me', names: ['0'] }
  expect(await retried(() => store.storePositions('group', [place], holding))).toBe(true)
  expect(await retried(() => store.positions('group', 't'))).toEqual(new Map([[0, '7']]))
  await retried(() => store.release('scope', '0', 'me'))
  expect(await seen()).toMatchObject([{ name: '0', owner: undefined, wish: undefined }])
  await store.close()
  return { unclear: owner.unclear }
}
