/** Programs of this folder under the launchers that this machine has. */

import { execFile, execFileSync } from 'node:child_process'
import { availableParallelism, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { backend } from '../../lib/backend/select.js'

/** Those of MPI itself, and `wengert launch`, which finds one of them. */
export type LauncherName = 'openmpi' | 'mpich' | 'launch openmpi' | 'launch mpich'

const cli = fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url))

export const commands: Record<LauncherName, readonly string[]> = {
  openmpi: ['mpirun.openmpi', '--oversubscribe', '--bind-to', 'none'],
  mpich: ['mpirun.mpich'],
  'launch openmpi': [process.execPath, cli, 'launch', '--mpi', 'openmpi'],
  'launch mpich': [process.execPath, cli, 'launch', '--mpi', 'mpich'],
}

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** What runs a program of this folder. */
export const programOf = (name: string): string[] => [process.execPath, script(name)]

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
  /** Since the program said that it fails; NaN where it did not. */
  readonly since: number
  /** Whether it had to be killed. */
  readonly hung: boolean
}

export const environment = (more: Record<string, string>) => ({
  ...process.env,
  ...more,
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  OMPI_MCA_btl_base_warn_component_unused: '0',
})

const limit = 120_000

/** Runs a program of this folder as so many ranks, with arguments and environment variables; as one process without a launcher. */
export function run(
  launcher: LauncherName | undefined,
  ranks: number,
  name: string,
  ...args: readonly (string | Record<string, string>)[]
): Promise<Ended> {
  const node = launcher?.startsWith('launch') ? [] : [process.execPath]
  const command = launcher ? [...commands[launcher], '-n', String(ranks)] : []
  const texts = args.filter((arg) => typeof arg === 'string')
  return ended([...command, ...node, script(name), ...texts], Object.assign({}, ...args.filter((arg) => typeof arg === 'object')))
}

/** Runs a command to its end. */
export function ended([file, ...rest]: readonly string[], more: Record<string, string> = {}): Promise<Ended> {
  const started = performance.now()
  return new Promise((resolve) => {
    execFile(file as string, rest, { env: environment(more), timeout: limit, killSignal: 'SIGKILL', maxBuffer: 1e9 }, (error, out, err) => {
      const seconds = (performance.now() - started) / 1000
      const code = error ? ((error as { code?: number }).code ?? null) : 0
      const failed = /^failing at (\d+)\n/m.exec(err)
      const since = failed ? (Date.now() - Number(failed[1])) / 1000 : Number.NaN
      resolve({ code, out, err: err.replace(/^failing at .*\n/m, ''), seconds, since, hung: seconds * 1000 >= limit })
    })
  })
}

/** The line of JSON that a program printed: what MPI carries its messages with may say something after it. */
export const printed = (out: string): unknown => JSON.parse(out.split('\n').find((line) => line.startsWith('{')) ?? '')

/** All have to end within five seconds: on a machine that has more to do than it can, of the seconds that it would have had. */
export const secondsAllowed = (): number => 5 * Math.max(1, (loadavg()[0] as number) / availableParallelism())

/** For tests that start processes. */
export const long = { timeout: 300_000 }
