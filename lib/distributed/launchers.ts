/** The launchers of this machine: which commands start several processes, and whose they are. */

import { execFileSync } from 'node:child_process'
import type { Family } from './launcher.js'

export interface FoundLauncher {
  readonly command: string
  readonly family: Family
  readonly version: string
}

/** Debian's names first: `mpirun` is an alternative there. */
const commands = ['mpirun', 'mpirun.openmpi', 'mpirun.mpich', 'mpiexec', 'mpiexec.hydra']

/** What a launcher says of itself; undefined for another program. */
export function launcherFrom(command: string, said: string): FoundLauncher | undefined {
  const open = /\(Open(?:RTE| MPI)\) ([\w.]+)/.exec(said)
  if (open) return { command, family: 'Open MPI', version: open[1] as string }
  // Intel's and MVAPICH's are made from MPICH's.
  const hydra = /HYDRA|Intel\(R\) MPI/.test(said)
  return hydra ? { command, family: 'MPICH', version: /Version:?\s+([\w.]+)/.exec(said)?.[1] ?? '' } : undefined
}

/** Those that answer, one of each family and version. */
export function findLaunchers(): FoundLauncher[] {
  const found: FoundLauncher[] = []
  for (const command of commands) {
    let said = ''
    try {
      said = execFileSync(command, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 10_000 })
    } catch {
      continue
    }
    const one = launcherFrom(command, said)
    if (one && !found.some(({ family, version }) => family === one.family && version === one.version)) found.push(one)
  }
  return found
}
