import type { Environment } from '../../core/environment.ts'
import type { Connection } from './connection.ts'
import type { Membership } from './group-member.ts'
import { within } from './within.ts'

/** Ms that saying goodbye may take: a broker that cannot be reached must not hold up the end. */
const patience = 3_000

/**
 * Members of this process that could not tell their group that they leave. For the group they live on until their session
 * ends, and every generation waits for them that long: so the next reader of the group goes on as one of them. Where the group
 * has forgotten it meanwhile, it says so and gives a new id.
 */
export class Orphans {
  readonly #ids = new Map<string, string[]>()

  /** Id of a member to go on as; empty when there is none. */
  adopt(group: string): string {
    return this.#ids.get(group)?.pop() ?? ''
  }

  /**
   * Leaves the group; by sockets that do not wait for a rebalance.
   * @param stopped when the member has ended: one that joins for the first time has no name before that
   */
  async leave(
    group: string,
    member: { readonly membership: Membership },
    stopped: Promise<void>,
    connection: Connection,
    environment: Environment
  ): Promise<void> {
    if (member.membership.memberId === '') await within(environment, patience, stopped)
    const { memberId } = member.membership
    if (memberId === '') return
    const left = connection
      .coordinator('group', group)
      .then(coordinator => coordinator.leaveGroup({ groupId: group, memberId }))
    if (await within(environment, patience, left).catch(() => false)) return
    const ids = this.#ids.get(group)
    if (ids) ids.push(memberId)
    else this.#ids.set(group, [memberId])
  }
}
