import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const opener = fileURLToPath(new URL('./sqlite-opener.ts', import.meta.url))
const said = async (child: ChildProcess): Promise<unknown> => (await once(child, 'message'))[0]

it('a store that does not exist yet is opened by several processes at once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-open-'))
  const children = Array.from({ length: 3 }, () =>
    fork(opener, { execArgv: ['--disable-warning=ExperimentalWarning'] })
  )
  try {
    await Promise.all(children.map(said))
    for (let round = 0; round < 150; round++) {
      const answers = children.map(said)
      for (const child of children) child.send(join(folder, `${round}.db`))
      expect(await Promise.all(answers)).toEqual(['open', 'open', 'open'])
    }
  } finally {
    for (const child of children) child.kill()
    await rm(folder, { recursive: true, force: true })
  }
})
