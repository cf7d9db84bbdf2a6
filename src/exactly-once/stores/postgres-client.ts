import { StreamError } from '../../core/errors.ts'

/** Of the package `pg`, what is used here. */
export interface PostgresModule {
  readonly Pool: new (options: any) => PostgresPool
}

export interface PostgresPool {
  connect(): Promise<PostgresClient>
  end(): Promise<void>
  on(event: string, listener: (value: any) => void): unknown
}

export interface PostgresClient {
  query(query: PostgresQuery): Promise<{ readonly rows: any[]; readonly rowCount: number | null }>
  /** `true`: it is closed, not kept. */
  release(destroy?: boolean): void
  on(event: string, listener: (value: any) => void): unknown
}

export interface PostgresQuery {
  readonly text: string
  readonly values?: readonly unknown[]
  /** The statement is prepared under this name. */
  readonly name?: string
}

/** Rejects with `peer-missing`. */
export async function loadPostgres(): Promise<PostgresModule> {
  let loaded: Partial<PostgresModule> & { readonly default?: Partial<PostgresModule> }
  try {
    // @ts-ignore: the package brings no types of its own
    loaded = (await import('pg')) as typeof loaded
  } catch (error) {
    throw new StreamError(
      'peer-missing',
      "a PostgreSQL store needs the package 'pg': npm install pg@8. If it is bundled, give its module as option 'client'",
      { cause: error }
    )
  }
  const module = loaded.Pool ? loaded : loaded.default
  if (module?.Pool) return module as PostgresModule
  throw new StreamError('peer-missing', "the installed 'pg' has no Pool: npm install pg@8")
}
