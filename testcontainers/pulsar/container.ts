import { rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { getContainerRuntimeClient, Wait } from 'testcontainers'
import { LoopbackContainer } from '../kafka/container.ts'
import { QUICK_START, READY, standaloneConf } from './configuration.ts'
import type { PulsarPlan } from './plan.ts'
import { type PulsarServer, served } from './process.ts'

const STOP_TIMEOUT = 30_000
/** Settings of ours in a file of their own, which the command appends to what the image is shipped with. */
const HOME = '/tidemark'

/**
 * Starts Pulsar as a container, with the settings of the local process. The data lives in the container's own layer.
 * This path follows the documentation of the `apachepulsar/pulsar` image and of `testcontainers`; it has not been run yet.
 */
export async function startPulsarContainer(plan: PulsarPlan, version: string): Promise<PulsarServer> {
  const { url, tls, directory, webPort, brokerPort } = plan
  const inside = (path: string): string => `${HOME}/${basename(path)}`
  const layout = {
    ...plan,
    bind: '0.0.0.0',
    webTlsPort: tls.port,
    keyPath: inside(plan.keyPath),
    certificatePath: inside(plan.certificatePath),
    caPath: inside(tls.caPath)
  }
  // The last one of a name counts; the file of the image has no line break at its end.
  const command = `cd /pulsar && { cat conf/standalone.conf; echo; cat ${HOME}/standalone.conf; } > /tmp/standalone.conf && exec bin/pulsar standalone --config /tmp/standalone.conf --no-functions-worker --no-stream-storage`
  const files = [plan.keyPath, plan.certificatePath, tls.caPath]
  const started = await new LoopbackContainer(`apachepulsar/pulsar:${version}`)
    .withLoopbackPorts(webPort, tls.port, brokerPort)
    .withEnvironment({
      PULSAR_MEM: `-Xmx${plan.heap} -XX:MaxDirectMemorySize=${plan.heap} ${plan.optimised ? '' : QUICK_START}`
    })
    .withCopyContentToContainer([
      { content: standaloneConf('', layout, plan.properties), target: `${HOME}/standalone.conf`, mode: 0o644 }
    ])
    .withCopyFilesToContainer(files.map(source => ({ source, target: inside(source), mode: 0o644 })))
    .withEntrypoint(['/bin/bash', '-c'])
    .withCommand([command])
    .withWaitStrategy(Wait.forLogMessage(new RegExp(READY)))
    .withStartupTimeout(plan.timeout)
    .start()
  await served(plan, () => true)

  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await started.stop({ timeout: STOP_TIMEOUT })
    await rm(directory, { recursive: true, force: true })
  }
  return {
    url,
    serviceUrl: `pulsar://127.0.0.1:${brokerPort}`,
    tls,
    runtime: 'docker',
    pid: undefined,
    logFile: undefined,
    async restart() {
      await started.restart({ timeout: STOP_TIMEOUT })
      await served(plan, () => true)
    },
    async kill() {
      const client = await getContainerRuntimeClient()
      await client.container.getById(started.getId()).kill({ signal: 'SIGKILL' })
    },
    stop,
    [Symbol.asyncDispose]: stop
  }
}
