/** What started this process, as the environment tells, and which files the MPI library that goes with it may be. */

/** Open MPI, or MPICH and what has its binary interface. */
export type Family = 'Open MPI' | 'MPICH'

/** What started several processes. */
export interface Launcher {
  /** For messages. */
  readonly name: string
  /** Whose library the processes need; undefined where the launcher serves both. */
  readonly family: Family | undefined
  /** How many processes it started. */
  readonly size: number
}

/** Environment variables that launchers set. To know another one: a line here. */
const known: readonly { name: string; family: Family | undefined; size: string; also?: string }[] = [
  { name: "Open MPI's mpirun", family: 'Open MPI', size: 'OMPI_COMM_WORLD_SIZE' },
  { name: 'srun with PMIx', family: undefined, size: 'SLURM_STEP_NUM_TASKS', also: 'PMIX_RANK' },
  { name: "MPICH's mpirun", family: 'MPICH', size: 'PMI_SIZE' },
  { name: 'srun', family: undefined, size: 'SLURM_STEP_NUM_TASKS', also: 'SLURM_PROCID' },
]

type Environment = Readonly<Record<string, string | undefined>>

/** Undefined where this process was started by itself. */
export function launcherOf(environment: Environment): Launcher | undefined {
  for (const { name, family, size, also } of known) {
    const count = Number(environment[size])
    if (Number.isInteger(count) && count > 0 && (also === undefined || environment[also] !== undefined))
      return { name, family, size: count }
  }
  return undefined
}

const files: Record<Family, Record<string, readonly string[]>> = {
  'Open MPI': {
    linux: ['libmpi.so.40', 'libmpi.so.20'],
    darwin: ['libmpi.40.dylib', '/opt/homebrew/lib/libmpi.40.dylib', '/usr/local/lib/libmpi.40.dylib'],
  },
  MPICH: {
    linux: ['libmpich.so.12', 'libmpi.so.12', 'libmpi_cray.so.12'],
    darwin: ['libmpi.12.dylib', '/opt/homebrew/opt/mpich/lib/libmpi.12.dylib', '/usr/local/opt/mpich/lib/libmpi.12.dylib'],
  },
}

/** The files to try, in order: what WENGERT_MPI names, else those of the family. */
export function libraryFiles(family: Family | undefined, environment: Environment, platform: string): readonly string[] {
  const named = environment.WENGERT_MPI
  if (named) return [named]
  const families = family ? [family] : (['Open MPI', 'MPICH'] as const)
  return families.flatMap((one) => files[one][platform] ?? [])
}

/** What to install, by family. */
export const remedyOf = (family: Family | undefined): string =>
  family === 'MPICH'
    ? 'install MPICH (Debian: mpich; macOS: brew install mpich), or name its library in WENGERT_MPI'
    : 'install Open MPI (Debian: openmpi-bin; macOS: brew install open-mpi), or name its library in WENGERT_MPI'
