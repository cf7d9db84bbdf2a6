import { behind, isReader, type RowPlace, type StateRow, type StoredState } from '../../src/state/index.ts'

/** All rows of a task, however its store keeps them, for looking at them. */
export async function storedRows(state: StoredState): Promise<StateRow[]> {
  if (!isReader(state)) return [...state]
  const rows: StateRow[] = []
  for (let from: RowPlace | undefined = { slot: '', key: '' }; from;) {
    const page = await state.page(from, 10_000)
    rows.push(...page)
    const last = page.at(-1)
    from = last && page.length === 10_000 ? behind(last) : undefined
  }
  return rows
}
