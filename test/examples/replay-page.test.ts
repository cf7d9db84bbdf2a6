import { expect, test } from 'vitest'
import { textOf } from './run-example.ts'

test('the program on the page about replay, and what it prints, is the example that is run', async () => {
  const page = await textOf('docs/replay.md')
  expect(page).toContain(`\`\`\`ts\n${await textOf('examples/replay/main.ts')}\`\`\``)
  expect(page).toContain(`\`\`\`\n${await textOf('examples/replay/expected.txt')}\`\`\``)
})
