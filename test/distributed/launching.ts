/** Programs of this folder under the launchers that this machine has. */

import { execFile, execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { backend } from '../../lib/backend/select.js'

export type LauncherName = 'openmpi' | 'mpich'

const commands: Record<LauncherName, readonly string[]> = {
  openmpi: ['mpirun.openmpi', '--oversubscribe'],
  mpich: ['mpirun.mpich'],
}

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** Why a launcher cannot be used here; undefined where it can. */
export function lacking(launcher: LauncherName): string | undefined {
  if (backend().name !== 'native') return 'the native engine is not there'
  try {
    execFileSync(commands[launcher][0] as string, ['--version'], { stdio: 'ignore' })
  } catch {
    return `${commands[launcher][0]} is not installed (Debian: ${launcher === 'mpich' ? 'mpich' : 'openmpi-bin'})`
  }
  return undefined
}

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
  readonly seconds: number
  /** Whether it had to be killed. */
  readonly hung: boolean
}

const environment = () => ({
  ...process.env,
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  OMPI_MCA_btl_base_warn_component_unused: '0',
})

const limit = 120_000

/** Runs a program of this folder as so many ranks; as one process without a launcher. */
export function run(launcher: LauncherName | undefined, ranks: number, name: string, ...args: readonly string[]): Promise<Ended> {
  const node = [process.execPath, script(name), ...args]
  const [file, ...rest] = launcher ? [...commands[launcher], '-n', String(ranks), ...node] : node
  const started = performance.now()
  return new Promise((resolve) => {
    execFile(file as string, rest, { env: environment(), timeout: limit, killSignal: 'SIGKILL', maxBuffer: 1e9 }, (error, out, err) => {
      const seconds = (performance.now() - started) / 1000
      const code = error ? ((error as { code?: number }).code ?? null) : 0
      resolve({ code, out, err, seconds, hung: seconds * 1000 >= limit })
    })
  })
}
