/** Installs what `package-lock.json` lists, when it is not there yet. */
import { existsSync, readFileSync } from 'node:fs'
import { Failed, finished, ownNode, path, start } from './process.mjs'

/** Rejects with `Failed`, or with an error that says what to do. */
export async function install() {
  const before = missing()
  if (before !== undefined) {
    await npm(`installing packages (${before})`, ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'])
    const after = missing()
    if (after !== undefined) throw new Error(`'npm ci' ended well, but ${after}`)
  }
  if (!existsSync(ownNode)) await installNode()
}

/** Why the packages must be installed; `undefined` when all are there. */
function missing() {
  const installed = packagesOf('node_modules/.package-lock.json')
  if (!installed) return 'there is no node_modules yet'
  for (const [place, wanted] of Object.entries(packagesOf('package-lock.json') ?? {})) {
    // Those for other systems are never there.
    if (place === '' || wanted.optional) continue
    const found = installed[place]?.version
    if (found !== wanted.version) return `${place} is ${found ?? 'missing'}, should be ${wanted.version}`
  }
  return undefined
}

/** Place -> what is known of the package there. */
function packagesOf(lockFile) {
  try {
    return JSON.parse(readFileSync(path(lockFile), 'utf8')).packages
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw new Error(`${lockFile} cannot be read: ${error.message}`, { cause: error })
  }
}

/** npm may be told not to run install scripts; the one of the package `node` brings the binary. */
async function installNode() {
  const directory = path('node_modules/node')
  const options = { cwd: directory, program: process.execPath }
  await npm('installing Node 24', ['installArchSpecificPackage.js'], options).catch(() => {})
  if (existsSync(ownNode)) return
  throw new Error(
    `the Node of this repository is missing (${ownNode}): npm did not run the install script of the package 'node', and ` +
      `running it by hand failed, too. Allow it ('npm ci --ignore-scripts=false'), and see that npm reaches its registry.`
  )
}

/** One line while it works; what npm says only when it fails. */
async function npm(title, args, { program = process.platform === 'win32' ? 'npm.cmd' : 'npm', cwd } = {}) {
  const started = Date.now()
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`
  const live = process.stderr.isTTY
  const show = () => process.stderr.write(`\r${title} … ${seconds()} `)
  if (live) show()
  else console.error(`${title} …`)
  const timer = live && setInterval(show, 1000)
  const shell = process.platform === 'win32'
  const child = start(program, args, { stdio: ['ignore', 'pipe', 'pipe'], shell, ...(cwd && { cwd }) })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (output += text))
  const closed = new Promise(resolve => child.on('close', resolve))
  try {
    await finished(child)
    console.error(`${live ? '\r' : ''}${title} … done in ${seconds()}`)
  } catch (error) {
    await closed
    console.error(`${live ? '\n' : ''}${output.trimEnd()}`)
    console.error(
      error instanceof Failed ? `${title} failed with ${error.message}` : `${title} failed: ${error.message}`
    )
    throw error
  } finally {
    clearInterval(timer)
  }
}
