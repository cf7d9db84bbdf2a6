import type { Position } from '../../core/record.ts'
import type { TopicPartition } from '../../spec/log-reader.ts'
import type { Connection } from './connection.ts'
import { classify, explain, protocolCode } from './errors.ts'
import type { GroupMember } from './group-member.ts'
import { commitsOf } from './offsets.ts'

export interface CommitContext {
  readonly connection: Connection
  readonly member: GroupMember
  readonly group: string
  /** Throws `not-owner` for a partition that the member does not hold. */
  readonly check: (place: TopicPartition) => void
}

const illegalGeneration = 22
const rebalancing = 27

/**
 * Commits for a member of a group. While the group changes the coordinator refuses the generation that ends; a member that
 * still holds the partitions must only wait for its new one. Nothing is stored by a refused request.
 */
export async function commitPositions(
  positions: readonly (TopicPartition & { readonly position: Position })[],
  { connection, member, group, check }: CommitContext
): Promise<void> {
  const topics = commitsOf(positions)
  for (;;) {
    for (const place of positions) check(place)
    const { memberId, generation } = member.membership
    try {
      const coordinator = await connection.coordinator('group', group)
      await coordinator.offsetCommit({ groupId: group, memberId, groupGenerationId: generation, topics })
      return
    } catch (error) {
      const code = protocolCode(error)
      const moved = member.membership.generation !== generation || !member.stable
      if ((code !== illegalGeneration && code !== rebalancing) || !moved) {
        if (classify(error).code === 'connection') connection.forgetCoordinator('group', group)
        throw explain(error, `committing positions of group '${group}'`)
      }
    }
    await member.settled()
  }
}
