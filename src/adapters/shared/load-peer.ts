import { messageOf, StreamError } from '../../core/errors.ts'

export interface Peer {
  /** The adapter that needs it. */
  readonly adapter: string
  /** Name of the package. */
  readonly name: string
  /** The option by which it can be handed in instead. */
  readonly option: string
}

/**
 * Loads a vendor package on first use. `load` is the caller's own `() => import('name')`, so that bundlers see a literal.
 * Rejects with `peer-missing`, naming the package and the option to inject it. A CommonJS package comes as its exports.
 */
export async function loadPeer<Module>({ adapter, name, option }: Peer, load: () => Promise<unknown>): Promise<Module> {
  let loaded: Record<string, unknown>
  try {
    loaded = (await load()) as Record<string, unknown>
  } catch (error) {
    const missing = (error as { code?: unknown } | undefined)?.code === 'ERR_MODULE_NOT_FOUND'
    throw new StreamError(
      'peer-missing',
      missing && messageOf(error).includes(`'${name}'`)
        ? `the ${adapter} adapter needs the package '${name}': npm install ${name}, or hand it in as the option '${option}'`
        : `the package '${name}' of the ${adapter} adapter does not load (or hand it in as the option '${option}'): ${messageOf(error)}`,
      { adapter, cause: error }
    )
  }
  return (loaded['default'] ?? loaded) as Module
}
