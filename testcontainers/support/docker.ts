import { run } from './run.ts'

let answer: Promise<boolean> | undefined

/** Says whether a Docker daemon answers. Asked once per process. */
export function hasDocker(): Promise<boolean> {
  answer ??= run('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 10_000 }).then(
    ({ stdout }) => stdout.trim() !== '',
    () => false
  )
  return answer
}
