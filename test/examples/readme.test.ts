import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { textOf } from './run-example.ts'

test('the program in the README is the quick start, which is run as an example', async () => {
  const readme = await textOf('README.md')
  const [program, ...more] = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code)
  expect(program).toBe(await textOf('examples/quick-start/main.ts'))
  expect(more).toEqual([])
})

test('what the README links to is there', async () => {
  const links = [...(await textOf('README.md')).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => target!)
  expect(links.length).toBeGreaterThan(5)
  const dead = links.filter(target => !existsSync(fileURLToPath(new URL(`../../${target}`, import.meta.url))))
  expect(dead).toEqual([])
})
