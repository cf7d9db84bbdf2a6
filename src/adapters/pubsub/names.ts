import { createHash } from 'node:crypto'

/** The attribute with the partition of a record: the one that filters of subscriptions look at. */
export const partitionAttribute = 'tidemark_partition'

/** The label of a topic with its partition count. */
export const partitionsLabel = 'tidemark-partitions'

const prefix = 'tidemark~'
const mostCharacters = 255

export function topicPath(project: string, topic: string): string {
  return `projects/${project}/topics/${topic}`
}

/** A subscription by its name, or by its full path in another project. */
export function subscriptionPath(project: string, subscription: string): string {
  return subscription.startsWith('projects/') ? subscription : `projects/${project}/subscriptions/${subscription}`
}

/** The part after the last slash. */
export function shortName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The subscription of one partition for a group: the same name for all who ask. */
export function groupSubscription(group: string, topic: string, partition: number): string {
  return fitting(`${prefix}${escaped(group)}~${escaped(topic)}~${partition}`)
}

/** A subscription of one reader alone. */
export function privateSubscription(topic: string, id: string): string {
  return fitting(`${prefix}~${escaped(topic)}~${id}`)
}

/** Made by this adapter: may be deleted with its topic. */
export function isOurs(subscription: string): boolean {
  return shortName(subscription).startsWith(prefix)
}

/**
 * What a subscription of this partition is to get. What has no partition is of a foreign publisher, and goes to the first
 * one: else no subscription would get it, and Pub/Sub would count it as acknowledged.
 */
export function partitionFilter(partition: number): string {
  const mine = `attributes.${partitionAttribute} = "${partition}"`
  return partition === 0 ? `${mine} OR NOT attributes:${partitionAttribute}` : mine
}

// Names may hold A-Z a-z 0-9 - _ . ~ + %. The tilde is the separator here.
function escaped(part: string): string {
  return encodeURIComponent(part).replace(
    /[~!*'()]/g,
    character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )
}

function fitting(name: string): string {
  if (name.length <= mostCharacters) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 32)
  return `${name.slice(0, mostCharacters - hash.length - 1)}~${hash}`
}
