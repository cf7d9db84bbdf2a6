import { randomUUID } from 'node:crypto'
import { DynamoDBClient, DeleteTableCommand, ScanCommand } from '@aws-sdk/client-dynamodb'
import { inject, onTestFinished } from 'vitest'

/** The DynamoDB that the whole run shares. */
const server = inject('dynamodb')

export const running: boolean = server.state === 'running'
/** For the title of what cannot run. */
export const notRun: string = server.state === 'running' ? '' : ` (not run: ${server.reason})`
export const url: string =
  server.state === 'running' ? server.url : 'dynamodb://us-east-1/none?endpoint=http://127.0.0.1:1'
export const endpoint: string = new URL(url).searchParams.get('endpoint')!
export const port: number = Number(new URL(endpoint).port)

const keys = { accessKeyId: 'local', secretAccessKey: 'local' }

/** A client that knows nothing of us. */
export const client = (at: string = endpoint): DynamoDBClient =>
  new DynamoDBClient({ region: 'us-east-1', endpoint: at, credentials: keys })

/** The URL of a store in a table of its own, which goes away with the test. */
export function storeUrl(options: Readonly<Record<string, string>> = {}, at: string = endpoint): string {
  const table = `test-${randomUUID().slice(0, 13)}`
  onTestFinished(async () => {
    const deleting = client(at)
    await deleting.send(new DeleteTableCommand({ TableName: table })).catch(() => {})
    deleting.destroy()
  })
  return urlOf(table, { endpoint: at, ...options })
}

export const urlOf = (table: string, options: Readonly<Record<string, string>>): string =>
  `dynamodb://us-east-1/${table}?${new URLSearchParams(options)}`

export const tableOf = (store: string): string => new URL(store).pathname.slice(1)

/** The same table by another way. */
export const through = (port: number, store: string): string => {
  const changed = new URL(store)
  changed.searchParams.set('endpoint', `http://127.0.0.1:${port}`)
  return changed.href
}

/** Sort keys of everything in the table of a store, with their partition keys. */
export async function keysIn(store: string): Promise<string[]> {
  const scanning = client()
  try {
    const found: string[] = []
    let start: Record<string, never> | undefined
    do {
      const page = await scanning.send(new ScanCommand({ TableName: tableOf(store), ExclusiveStartKey: start }))
      found.push(...(page.Items ?? []).map(({ pk, sk }) => `${pk!.S} ${sk!.S}`))
      start = page.LastEvaluatedKey as typeof start
    } while (start)
    return found.toSorted()
  } finally {
    scanning.destroy()
  }
}
