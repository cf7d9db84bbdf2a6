import { fileURLToPath } from 'node:url'
import { toBinary, type DescFile } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { pythonWith, runPython } from '../support/python.ts'
import { file_common_side } from './generated/common/side_pb.js'
import { file_trade } from './generated/trade_pb.js'

// The clients of Python, as `interop.py` runs them.

const script = fileURLToPath(new URL('./interop.py', import.meta.url))

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

/** The Python that has them. */
export const interopPython = (): Promise<string> =>
  pythonWith(['fastavro==1.13.1', 'confluent-kafka[avro,json,protobuf,schemaregistry]==2.16.0', 'protobuf==7.36.2'])

/** What they answer to each line: its parts. */
export async function answers(
  python: string,
  words: readonly string[],
  lines: readonly string[]
): Promise<readonly (readonly Buffer[])[]> {
  const output = await runPython(python, script, words, `${lines.join('\n')}\n`)
  return output
    .split('\n')
    .slice(0, -1)
    .map(line => line.split(' ').map(part => Buffer.from(part, 'base64')))
}

/** The message `Trade`, as `interop.py` takes it. */
export const tradeSchema: { readonly files: readonly string[]; readonly message: string } = {
  files: [file_common_side, file_trade].map(({ proto }: DescFile) =>
    base64(toBinary(FileDescriptorProtoSchema, proto))
  ),
  message: 'tidemark.test.Trade'
}
