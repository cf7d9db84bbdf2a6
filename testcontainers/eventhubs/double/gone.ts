import type { Connection } from 'rhea'

const waiting = new WeakMap<Connection, Set<() => void>>()

/** From here on it is known when the connection ends, in whatever way. */
export function watch(connection: Connection): void {
  waiting.set(connection, new Set())
  const fire = (): void => {
    for (const act of waiting.get(connection) ?? []) act()
    waiting.get(connection)?.clear()
  }
  connection.on('disconnected', fire)
  connection.on('connection_close', fire)
}

/** Once, when the connection is gone. */
export function onGone(connection: Connection, act: () => void): void {
  waiting.get(connection)?.add(act)
}
