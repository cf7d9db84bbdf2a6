import { modelsOf, type Model } from '../model.ts'
import { early, onlyLast, rules, someParent, start, successors, violation } from './world.ts'

const shardModel = modelsOf({
  rules,
  start: () => start,
  successors,
  violation: (_, world) => violation(world),
  isGoal: ({ records }, { reader }) => reader.committed.got.every(got => got === records),
  limit: 800_000
})

/** One partition over shards that are split and merged while it is read, by the order of shards of the Kinesis adapter. */
export const shardModels: readonly Model[] = [
  shardModel('K0', 'parents before children, the position names every shard that is being read', 'ok'),
  shardModel('K1', 'the same, more of it', 'ok', { reshards: 3 }, true),
  shardModel('K0.a', 'a shard is read as soon as it is listed', /ORDER|LOST/, { readable: early }),
  shardModel('K0.b', 'after a merge, one of the two parents is enough', /ORDER|LOST/, { readable: someParent }),
  shardModel('K0.c', 'the position names the shard of the last record alone', /ORDER|LOST|DUPLICATE/, {
    position: onlyLast
  }),
  shardModel('K0.d', 'a shard that is read to where it ends now is finished', /ORDER|LOST/, { finishesOpen: true })
]
