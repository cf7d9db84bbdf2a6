import type { Import, SourceFile } from './source-file.ts'

/**
 * Who may import whom: the table of the architecture as data. A layer is a folder of `src/` or the files named; it may
 * always import itself. `adapters/*` stands for each folder there, which may import itself and no other adapter. Of
 * `typesOf`, only types.
 */
export const layers: Readonly<
  Record<
    string,
    { readonly files?: readonly string[]; readonly mayImport: readonly string[]; readonly typesOf?: readonly string[] }
  >
> = {
  core: { mayImport: [] },
  spec: { mayImport: ['core'] },
  schema: { mayImport: ['core'] },
  state: { mayImport: ['core'] },
  watermark: { mayImport: ['core'] },
  'exactly-once': { mayImport: ['core', 'spec', 'state'] },
  health: { mayImport: ['core'] },
  broker: { mayImport: ['core', 'spec', 'health'] },
  pipeline: { mayImport: ['core', 'spec', 'state', 'watermark', 'exactly-once', 'broker', 'health'] },
  windows: { mayImport: ['core', 'state', 'pipeline'] },
  'adapters/shared': { mayImport: ['core', 'spec'] },
  'adapters/*': { mayImport: ['core', 'spec', 'adapters/shared'] },
  'adapters/index': { files: ['src/adapters/index.ts'], mayImport: ['core', 'spec', 'adapters/*'] },
  'open-adapter': { files: ['src/open-adapter.ts'], mayImport: ['core', 'spec', 'adapters/index'] },
  connect: {
    files: ['src/connect.ts', 'src/client.ts', 'src/admin.ts'],
    mayImport: ['core', 'spec', 'health', 'broker', 'pipeline', 'open-adapter']
  },
  // The whole of a configuration, looked at from outside of any run.
  doctor: { mayImport: ['core', 'spec', 'exactly-once', 'broker', 'pipeline', 'connect'] },
  // The API is handed in: nothing of it is imported.
  opentelemetry: { mayImport: ['core'] },
  // It watches pipelines, and shares nothing with them but the format of their reports.
  watch: { mayImport: ['core', 'spec', 'watermark', 'open-adapter'] },
  sqlite: { files: ['src/sqlite.ts'], mayImport: ['core', 'exactly-once'], typesOf: ['pipeline'] },
  postgres: {
    files: ['src/postgres.ts', 'src/postgres-rows.ts'],
    mayImport: ['core', 'exactly-once'],
    typesOf: ['pipeline']
  },
  dynamodb: { files: ['src/dynamodb.ts'], mayImport: ['core', 'exactly-once'] },
  testing: { mayImport: ['core', 'spec', 'broker', 'pipeline', 'schema', 'adapters/memory'] },
  cli: { mayImport: ['index', 'schema'] },
  index: {
    files: ['src/index.ts'],
    mayImport: ['core', 'spec', 'state', 'health', 'broker', 'pipeline', 'windows', 'connect', 'doctor']
  }
}

/** Packages that users install when they need them: imported lazily, and only there. */
export const vendors: Readonly<Record<string, string | readonly string[]>> = {
  kafkajs: 'src/adapters/kafka/',
  'pulsar-client': 'src/adapters/pulsar/',
  ws: 'src/adapters/pulsar/',
  '@google-cloud/pubsub': ['src/adapters/pubsub/', 'src/schema/registry/pubsub'],
  '@aws-sdk/client-kinesis': 'src/adapters/kinesis/',
  '@smithy/node-http-handler': 'src/adapters/kinesis/',
  '@azure/event-hubs': 'src/adapters/eventhubs/',
  '@azure/storage-blob': 'src/adapters/eventhubs/',
  avsc: 'src/schema/avro/',
  snappy: 'src/schema/avro/',
  ajv: 'src/schema/json/',
  '@aws-sdk/client-glue': 'src/schema/registry/glue',
  protobufjs: 'src/schema/protobuf/',
  '@bufbuild/protobuf': 'src/schema/protobuf/',
  pg: 'src/exactly-once/stores/postgres',
  '@aws-sdk/client-dynamodb': 'src/exactly-once/stores/dynamodb'
}

/** Layers in which time, randomness and timers come from the `Environment` (law 9). */
export const deterministicLayers: readonly string[] = [
  'core',
  'state',
  'watermark',
  'exactly-once',
  'health',
  'broker',
  'pipeline',
  'windows',
  'watch'
]
const environmentFile = 'src/core/environment.ts'
const clockAndDice =
  /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bprocess\.hrtime\b|\bset(?:Timeout|Interval|Immediate)\b|\bAbortSignal\.timeout\b|\bMath\.random\b|\brandom(?:UUID|Bytes|Int)\b|\bgetRandomValues\b/g

export const maxLines = 300

/** The layer of a file of `src/`, or `undefined` when no rule knows it. */
export function layerOf(path: string): string | undefined {
  for (const [layer, { files }] of Object.entries(layers)) if (files?.includes(path)) return layer
  const [, first, second, ...rest] = path.split('/')
  if (first === 'adapters') return rest.length > 0 ? `adapters/${second}` : undefined
  return first !== undefined && second !== undefined && Object.hasOwn(layers, first) && !layers[first]!.files
    ? first
    : undefined
}

/** One sentence per import that the table does not allow. */
export function brokenImports(file: SourceFile): string[] {
  const layer = layerOf(file.path)
  if (layer === undefined)
    return [
      `${file.path} belongs to no layer: move it into a folder of the table, or add its layer to test/architecture/rules.ts`
    ]
  const { mayImport, typesOf = [] } = layers[layer] ?? layers['adapters/*']!
  return file.imports.flatMap(found => {
    const where = `${file.path}:${found.line}`
    if (found.target === undefined) return brokenPackage(where, file.path, found)
    const target = layerOf(found.target)
    const allowed =
      target === layer ||
      (found.typeOnly && target !== undefined && typesOf.includes(target)) ||
      mayImport.some(name => name === target || (name === 'adapters/*' && target?.startsWith('adapters/')))
    if (!allowed)
      return [
        `${where} imports ${found.target}, but '${layer}' may import ${[...mayImport, ...typesOf.map(name => `${name} (types)`)].join(', ') || 'nothing of ours'}, not '${target}'`
      ]
    const eager =
      layer === 'adapters/index' && target !== 'core' && target !== 'spec' && !found.typeOnly && !found.dynamic
    return eager
      ? [`${where} imports ${found.target} eagerly, but adapters are loaded when a config names them: use import()`]
      : []
  })
}

function brokenPackage(where: string, path: string, { specifier, dynamic }: Import): string[] {
  if (specifier.startsWith('node:')) return []
  // Computed: an adapter may, for codecs that the user may have installed, and a command, for the file that it is given.
  if (specifier === '')
    return /^src\/(?:adapters|cli)\//.test(path)
      ? []
      : [`${where} imports a computed name, but only adapters and commands may do so`]
  const home = vendors[packageOf(specifier)]
  if (home === undefined)
    return [
      `${where} imports the package '${specifier}', but published code imports nothing but node: and optional peers`
    ]
  const homes = [home].flat()
  if (!homes.some(each => path.startsWith(each)))
    return [`${where} imports '${specifier}', but that package is imported in ${homes.join(' and ')} only`]
  return dynamic
    ? []
    : [
        `${where} imports '${specifier}' eagerly, but vendor packages are loaded by import() when they are first used, and typed by our own types`
      ]
}

/** `@bufbuild/protobuf/wkt` is of `@bufbuild/protobuf`. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

/** One sentence per touch of the clock or the dice where they must be handed in. */
export function brokenDeterminism(file: SourceFile): string[] {
  if (file.path === environmentFile || !deterministicLayers.includes(layerOf(file.path) ?? '')) return []
  return [...file.code.matchAll(clockAndDice)].map(found => {
    const line = file.code.slice(0, found.index).split('\n').length
    return `${file.path}:${line} uses ${found[0]}, but law 9 says that time, timers and randomness come from the Environment`
  })
}

export function tooLong(file: SourceFile): string[] {
  return file.lines > maxLines
    ? [`${file.path} has ${file.lines} lines, but a file has at most ${maxLines}: split it by responsibility`]
    : []
}

/** One sentence per cycle of imports that are there at run time. */
export function cycles(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map(file => [file.path, file]))
  const done = new Set<string>()
  const found: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(path)
    if (seenAt >= 0) {
      found.push(
        `${[...trail.slice(seenAt), path].join(' -> ')} is a cycle of imports, but files may only share types in a circle`
      )
      return
    }
    if (done.has(path)) return
    for (const { target, typeOnly } of byPath.get(path)?.imports ?? [])
      if (target !== undefined && !typeOnly) visit(target, [...trail, path])
    done.add(path)
  }
  for (const { path } of files) visit(path, [])
  return found
}
