import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '../../src/cli/run.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const command = promisify(execFile)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-generate-'))
  await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function generate(...words: readonly string[]): Promise<[number, string[], string]> {
  const [out, errors]: [string[], string[]] = [[], []]
  const terminal = { out: (line: string) => out.push(line), error: (line: string) => errors.push(line), variables: {} }
  return [await run(['schema', 'generate', ...words], terminal), out, errors.join('\n')]
}

async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
  return path
}

test('the modules are those that the compiler and the plugin write', async () => {
  const made = join(repository, 'test/schema/generated')
  const options = ['--options', 'target=js+dts,import_extension=js']
  const [code, out, errors] = await generate(join(made, 'trade.proto'), '--out', join(folder, 'gen'), ...options)
  expect([code, errors]).toEqual([0, ''])
  const names = ['common/side_pb.d.ts', 'common/side_pb.js', 'trade_pb.d.ts', 'trade_pb.js']
  expect(out.toSorted()).toEqual(names.map(name => join(folder, 'gen', name)))
  // Those in the repository went through the formatter.
  const bare = (text: string): string => text.replace(/[\s;'"|,()]/g, '')
  for (const name of names)
    expect(bare(await readFile(join(folder, 'gen', name), 'utf8'))).toBe(bare(await readFile(join(made, name), 'utf8')))
})

const proto = `// Prices of venues.
syntax = "proto3";
package acme.v1;
option java_package = "com.acme";
import "common/side.proto";
import "google/protobuf/timestamp.proto";

message Quote {
  map<string, Level> levels_by_venue = 9;
  enum Kind {
    option allow_alias = true;
    KIND_UNSPECIFIED = 0;
    KIND_FIRM = 1 [deprecated = true];
    KIND_SURE = 1;
  }
  // A price and
  // how much of it.
  message Level { double price = 1; repeated sint64 sizes = 2 [packed = false]; }
  Kind kind = 1;
  optional int32 rank = 2;
  acme.common.Side side = 3 [json_name = "buySell"];
  oneof origin { string house = 4 [debug_redact = true]; Level level = 5; }
  optional string note = 6;
  google.protobuf.Timestamp at = 7;
  reserved 10 to 12, 20;
  reserved "old";
}
service Quotes { rpc Watch (Quote) returns (stream Quote) { option idempotency_level = NO_SIDE_EFFECTS; } }
`
const side = `syntax = "proto3";
package acme.common;
enum Side { SIDE_UNSPECIFIED = 0; SIDE_SELL = 2; }
`
const limits = `syntax = "proto2";
import "google/protobuf/struct.proto";
enum Unit { UNIT_LOT = 1; UNIT_PIECE = 2; }
message Limits {
  required int32 low = 1;
  optional int32 high = 2 [default = 7];
  optional Unit unit = 3 [default = UNIT_PIECE];
  repeated int32 steps = 4 [packed = true];
  optional double most = 5 [default = -inf];
  optional string name = 6 [default = "a\\nname"];
  map<int64, google.protobuf.Struct> notes = 7;
  extensions 100 to 199;
}
`

const use = `import { create, equals } from '@bufbuild/protobuf'
import { timestampFromDate } from '@bufbuild/protobuf/wkt'
import { protobuf } from '${join(repository, 'src/schema/index.ts')}'
import { Side } from './common/side_pb.ts'
import { LimitsSchema, Unit } from './limits_pb.ts'
import { Quote_Kind, Quotes, QuoteSchema, type Quote } from './quote_pb.ts'

const quote: Quote = create(QuoteSchema, {
  kind: Quote_Kind.FIRM,
  rank: 0,
  side: Side.SELL,
  origin: { case: 'level', value: { price: 1.5, sizes: [-1n] } },
  at: timestampFromDate(new Date(0)),
  levelsByVenue: { x: { price: 2 } }
})
const codec = await protobuf<Quote>(QuoteSchema).bind!({ topic: 'quotes', part: 'value', registry: undefined })
const back = codec.decode(codec.encode(quote))
const limits = create(LimitsSchema)
console.log(JSON.stringify([
  equals(QuoteSchema, back, quote),
  back.rank,
  back.note ?? null,
  limits.high,
  [limits.unit === Unit.PIECE, limits.most < 0, limits.name],
  LimitsSchema.field.low.presence,
  LimitsSchema.field.steps.proto.options?.packed,
  QuoteSchema.fields.map(({ jsonName }) => jsonName),
  QuoteSchema.fields.find(({ name }) => name === 'house')?.proto.options?.debugRedact,
  Quotes.method.watch.methodKind
]))
`

test('a module is strict TypeScript, and protobuf() takes it', async () => {
  await file('protos/common/side.proto', side)
  const quote = await file('protos/quote.proto', proto)
  const second = await file('protos/limits.proto', limits)
  const options = ['--options', 'target=ts,import_extension=ts,erasable_syntax=true']
  expect((await generate(quote, second, '--out', folder, ...options))[2]).toBe('')
  const script = await file('use.ts', use)
  const strict = {
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    rewriteRelativeImportExtensions: false
  }
  const compilerOptions = {
    ...strict,
    erasableSyntaxOnly: true,
    types: ['node'],
    module: 'NodeNext',
    skipLibCheck: true
  }
  await file('package.json', '{ "type": "module" }')
  const extended = { extends: join(repository, 'tsconfig.json'), compilerOptions, include: [], files: [script] }
  const config = await file('tsconfig.json', JSON.stringify(extended))
  const types = await command(join(repository, 'node_modules/.bin/tsc'), ['-p', config]).catch(error => error)
  expect(types.stdout).toBe('')
  const { stdout } = await command(process.execPath, [script])
  const names = ['levelsByVenue', 'kind', 'rank', 'buySell', 'house', 'level', 'note', 'at']
  expect(JSON.parse(stdout)).toEqual([
    true,
    0,
    null,
    7,
    [true, true, 'a\nname'],
    3,
    true,
    names,
    true,
    'server_streaming'
  ])
  const written = await readFile(join(folder, 'quote_pb.ts'), 'utf8')
  expect(written).toContain(' * A price and\n * how much of it.\n')
})

test('by default the modules are TypeScript with imports of .js', async () => {
  await file('deep/common/side.proto', side)
  const quote = await file('quote.proto', proto)
  const [code, out, errors] = await generate(
    quote,
    '--out',
    folder,
    '--include',
    folder,
    '--include',
    join(folder, 'deep')
  )
  expect([code, errors, out.length]).toEqual([0, '', 2])
  const written = await readFile(join(folder, 'quote_pb.ts'), 'utf8')
  expect(written).toContain('from "./common/side_pb.js"')
  expect(written).toContain('export enum Quote_Kind {')
})

test('what it cannot do is said, with its name', async () => {
  const lines: readonly [string, string, number, string][] = [
    ['imports', 'syntax = "proto3"; import "gone.proto";', 2, "'gone.proto', which 'imports.proto' imports, is not in"],
    ['up', 'syntax = "proto3"; import "../up.proto";', 3, "'../up.proto' is no path below a folder"],
    ['itself', 'syntax = "proto3"; import "itself.proto";', 3, "'itself.proto' imports itself"],
    ['edition', 'edition = "2023"; message A {}', 3, "'edition.proto': edition 2023 needs protoc or buf"],
    ['extend', 'message A { extensions 5 to 9; } extend A { optional int32 b = 5; }', 3, 'it extends A, which needs'],
    ['type', 'syntax = "proto3"; message A { Nowhere b = 1; }', 3, 'Nowhere'],
    ['broken', 'syntax = "proto3"; message A {', 3, "'broken.proto'"],
    ['bytes', 'message A { optional bytes b = 1 [default = "x"]; }', 3, "'A.b': a default of 'bytes'"],
    ['escape', 'message A { optional string b = 1 [default = "\\x41"]; }', 3, 'defaults with an escape need protoc'],
    ['group', 'message A { optional group B = 1 { optional int32 c = 1; } }', 3, "'A.B': it is a group"]
  ]
  for (const [name, text, code, message] of lines) {
    const [is, , errors] = await generate(await file(`${name}.proto`, text), '--out', folder)
    expect([name, is, errors]).toEqual([name, code, expect.stringContaining(message)])
  }
  expect((await generate(join(folder, 'away.proto')))[2]).toContain(`: 'away.proto' is not in ${folder}`)
  const fine = await file('fine.proto', 'syntax = "proto3"; message A {}')
  expect((await generate(fine, '--out', folder, '--options', 'target=cobol'))[2]).toContain('protoc-gen-es: ')
  expect((await generate(fine, '--include', join(folder, 'deep')))[2]).toContain('is not in')
  expect((await generate(fine, await file('a.avsc', '"string"')))[2]).toContain('files of one kind at a time')
  expect((await generate(await file('a.avsc', '"string"'), '--out', folder))[2]).toContain('--out goes with .proto')
})
