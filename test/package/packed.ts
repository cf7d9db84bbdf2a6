import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root: string = fileURLToPath(new URL('../..', import.meta.url))

/** The package as npm would publish it, and a project that has installed it and nothing else. */
export interface PackedPackage extends AsyncDisposable {
  /** The folder that was packed: `package.json`, `dist`, what `files` names. */
  readonly staged: string
  /** The `.tgz`. */
  readonly tarball: string
  /** A project whose only package is ours. */
  readonly project: string
  /** Ours in there. */
  readonly installed: string
}

/** Builds into a folder of its own, so that the checkout stays as it is, packs, and installs without a network. */
export async function pack(): Promise<PackedPackage> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'tidemark-package-')))
  const [staged, project] = [join(folder, 'staged'), join(folder, 'project')]
  try {
    await mkdir(staged)
    await mkdir(project)
    // Whether they are all there is for the tests to say.
    for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'docs'].filter(each =>
      existsSync(join(root, each))
    ))
      await cp(join(root, name), join(staged, name), { recursive: true })
    await tsc(root, ['-p', 'tsconfig.build.json', '--outDir', join(staged, 'dist')])
    await npm(staged, ['pack', '--pack-destination', folder])
    const tarball = join(
      folder,
      (await readdir(folder)).find(name => name.endsWith('.tgz'))!
    )
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }))
    await npm(project, ['install', '--offline', '--no-save', tarball])
    return {
      staged,
      tarball,
      project,
      installed: join(project, 'node_modules', 'tidemark'),
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true })
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** Node's own types in a project, as every TypeScript project for Node has them. Not a vendor package. */
export async function linkNodeTypes(project: string): Promise<void> {
  await mkdir(join(project, 'node_modules', '@types'), { recursive: true })
  await symlink(join(root, 'node_modules', '@types', 'node'), join(project, 'node_modules', '@types', 'node'), 'dir')
}

export async function tsc(folder: string, args: readonly string[]): Promise<string> {
  return run(folder, process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), ...args])
}

export async function npm(folder: string, args: readonly string[]): Promise<string> {
  return run(folder, 'npm', [...args, '--no-audit', '--no-fund', '--ignore-scripts'])
}

/** Resolves with stdout; rejects with what the program said, when it fails or takes longer than three minutes. */
export function run(
  folder: string,
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd: folder, env, timeout: 180_000, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      reject(
        new Error(`${program} ${args.join(' ')} ended with ${error.code ?? error.signal}:\n${stdout}\n${stderr}`, {
          cause: error
        })
      )
    })
  })
}
