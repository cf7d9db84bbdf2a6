import { modelsOf, type Model } from '../model.ts'
import { outputsOf, rules, start, successors, type Rules, type World } from './world.ts'

/** What the owner of the moment holds for committed. */
function committedOf(world: World): readonly { readonly token: string }[] | undefined {
  const owner = world.workers.find(({ local }) => local !== undefined && local.epoch === world.store.epoch)
  const anyLocal = world.workers.some(({ local }) => local !== undefined)
  return anyLocal ? owner?.local?.commits : world.store.commits
}

function violation({ sendFirst }: Rules, world: World): string | undefined {
  const commits = committedOf(world)
  for (const [partition, { got }] of world.readers.entries()) {
    const bases = got.map(({ token }) => token[0])
    if (new Set(bases).size < bases.length)
      return `DUPLICATE partition ${partition} got ${got.map(({ token }) => token).join(' ')}`
    for (const { sequence, token } of got) {
      const commit = commits?.[Number(token[0]) - 1]
      if (commits && (commit ? commit.token !== token : !sendFirst || Number(token[0]) <= commits.length))
        return `DIVERGED partition ${partition} got ${token} as ${sequence}, committed is ${commit?.token ?? 'nothing'}`
    }
  }
  // Nobody holds it any more, and it is not on its way.
  const gone = outputsOf(world.store.commits.slice(0, world.store.relayed), 1).find(
    output =>
      !world.readers[output.partition]!.got.some(({ token }) => token === output.token) &&
      ![...world.channel, ...world.workers.flatMap(({ unsent }) => unsent)].some(
        ({ partition, token }) => partition === output.partition && token === output.token
      )
  )
  return gone && `LOST partition ${gone.partition} never gets ${gone.token}`
}

const outboxModel = modelsOf({
  rules,
  start: () => start,
  successors,
  violation,
  isGoal: ({ inputs }, { readers }) => readers[0]!.got.length === inputs && readers[1]!.got.length === 1
})

/** The numbers are those of the protocol's table of variants that look right. */
export const outboxModels: readonly Model[] = [
  outboxModel('B0', 'store, relay and reader: numbers given in the commit', 'ok', {}),
  outboxModel('B0.2', 'the same, one partition more often taken over', 'ok', { epochs: 3 }, true),
  outboxModel('B1', 'the store compares the commit number only', 'ok', {
    takes: (store, _, commit) => commit === store.commits.length + 1
  }),
  outboxModel('M1', 'a new owner numbers the outbox anew, by its epoch', /DUPLICATE/, {
    found: (output, epoch) => ({ ...output, sequence: epoch * 10 + output.sequence })
  }),
  outboxModel('M2', 'the reader fences by the epoch of the commit', /LOST/, { fence: 'epoch' }),
  outboxModel('M3', 'the reader fences by the epoch of who relays', /LOST/, { fence: 'relayer' }),
  outboxModel('M4', 'a store per worker, copied now and then', /DIVERGED|DUPLICATE/, { ownStore: true }),
  outboxModel('M5', 'publish before the commit, numbers from the place of the input', /DIVERGED|DUPLICATE/, {
    sendFirst: true
  }),
  outboxModel('M6', 'a blind commit, the lease is trusted', /DIVERGED|DUPLICATE/, { takes: () => true }),
  outboxModel('M7', 'a high-water mark alone, on a channel without order', /LOST/, { dedupe: 'high-water' })
]
