import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cached } from '../../testcontainers/support/cache.ts'
import { npm } from './packed.ts'

/**
 * Path of a Node of this exact version, from npm: the package that `node@<version>` itself fetches for this platform.
 * Kept in the cache outside the checkout.
 */
export async function nodeOfVersion(version: string): Promise<string> {
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const prefix = platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node'
  const name = `${prefix}-${platform}-${process.arch}`
  const executable = platform === 'win' ? 'node.exe' : 'node'
  const folder = await cached(`node-${version}-${platform}-${process.arch}`, async into => {
    const project = await mkdtemp(join(tmpdir(), 'tidemark-node-'))
    try {
      await npm(project, ['install', '--no-save', '--prefix', project, `${name}@${version}`])
      await copyFile(join(project, 'node_modules', name, 'bin', executable), join(into, executable))
    } finally {
      await rm(project, { recursive: true, force: true })
    }
  })
  return join(folder, executable)
}
