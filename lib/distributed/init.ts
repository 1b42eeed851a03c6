/** Finding the other processes: the library of the launcher is loaded, the ranks get to know each other, and the end is seen to. */

import { engine, setThreads } from '../backend/select.js'
import { WengertError } from '../errors.js'
import type { Addon, NativeWorld } from '../native/addon.js'
import { loadAddon } from '../native/load.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { type Launcher, launcherOf, libraryFiles, remedyOf } from './launcher.js'
import { type Channel, enter, exchangeTexts, nameOf, type World, world } from './world.js'

/** Of `init`. */
export interface InitOptions {
  /**
   * After how many seconds in which a rank waits for another all are ended, > 0; 30 by default, or WENGERT_STALL_SECONDS. Longer
   * than anything that one rank does while the others wait: a callback, the reading of data, the writing of a checkpoint.
   */
  stallSeconds?: number | undefined
}

const defaultStall = 30

/** Fetched when used: whoever trains alone needs none of it. */
const builtin = {
  os: () => process.getBuiltinModule('node:os'),
  fs: () => process.getBuiltinModule('node:fs'),
  net: () => process.getBuiltinModule('node:net'),
  workers: () => process.getBuiltinModule('node:worker_threads'),
}

const failed = (message: string, actual?: unknown) => new WengertError('ERR_DISTRIBUTED', `distributed.init: ${message}`, { actual })

function stallSecondsOf({ stallSeconds }: InitOptions): number {
  const { WENGERT_STALL_SECONDS: given } = process.env
  const wanted = stallSeconds ?? (given === undefined || given === '' ? defaultStall : Number(given))
  return checkNumber('distributed.init', 'stallSeconds', wanted, { min: 0, exclusive: true })
}

/** Which processors this process may use, as the system writes them: ranks of one host with the same ones share them. */
function processorsAllowed(): string {
  try {
    return /^Cpus_allowed_list:\s*(.*)$/m.exec(builtin.fs().readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  } catch {
    return ''
  }
}

const existing = (path: string): boolean => builtin.fs().existsSync(path)

const channels: Record<Channel, number> = { control: 1, user: 2 }
const kinds = { barrier: 0, sum: 1, broadcast: 2, allToAll: 3 }

function worldOver(addon: Addon, { rank, size }: NativeWorld, hosts: readonly string[]): World {
  return {
    rank,
    size,
    hosts,
    sum: async (channel, values) => (await addon.worldCollective(kinds.sum, channels[channel], 0, values)) as Float64Array,
    broadcast: async (channel, bytes, root) => (await addon.worldCollective(kinds.broadcast, channels[channel], root, bytes)) as Uint8Array,
    barrier: async (channel) => void (await addon.worldCollective(kinds.barrier, channels[channel], 0, new Uint8Array(0))),
    allToAll: async (channel, bytes, going, coming) =>
      (await addon.worldCollective(kinds.allToAll, channels[channel], 0, bytes, Float64Array.of(...going, ...coming))) as Uint8Array,
  }
}

/** For a launcher that names processes alone: `wengert launch` learns which rank each is, and from the connection's end about when it goes. */
function nameFor(rank: number, hostname: string): void {
  const { WENGERT_RANKS: path } = process.env
  if (!path) return
  const connection = builtin.net().connect(path)
  // On another machine there is nobody to tell.
  connection.on('error', () => {})
  connection.write(`${rank} ${process.pid} ${hostname}\n`)
  connection.unref()
}

/** What this process died of, where that is known before it exits. */
let fatal: unknown

/** A process that ends while others go on would leave them waiting: it ends them too, unless all has gone well, and then it waits for them. */
function seeToTheEnd(addon: Addon): void {
  process.on('uncaughtExceptionMonitor', (error) => {
    fatal = error
  })
  process.once('exit', (code) => {
    const waits = addon.worldWaits()
    if (code === 0 && !waits) return addon.worldFinalize(true)
    if (fatal !== undefined) {
      // Node prints the error after this event, which it does not outlive.
      const text = fatal instanceof Error ? (fatal.stack ?? String(fatal)) : String(fatal)
      builtin.fs().writeSync(2, `${text}\n`)
    }
    const first = fatal instanceof Error ? `${fatal.name}: ${fatal.message}` : String(fatal)
    const why =
      fatal === undefined ? `exited with code ${code}${waits ? ' in the middle of a collective' : ''}` : `threw ${first.split('\n')[0]}`
    addon.worldAbort(`${nameOf(world().rank)} ${why}`, code || 1)
  })
}

/** Errors: ERR_DISTRIBUTED where the library is not to be had, or is not the launcher's. */
function begin(launcher: Launcher): { addon: Addon; native: NativeWorld } {
  if (!builtin.workers().isMainThread) throw failed('call it on the main thread; a worker thread trains alone')
  if (engine().name !== 'native') throw failed('several processes need the native engine; this one runs the JavaScript engine')
  const addon = loadAddon()
  const { name, family, size } = launcher
  if (process.platform === 'win32')
    throw failed(`${name} started this process, but several train together on Linux and macOS only, not on Windows`)
  // UCX, which MPICH may talk by, replaces the system's calls for memory while threads of Node use them: about one start in fifty ended in a
  // crash. Only the fast networks' cards need it.
  if (!existing('/sys/class/infiniband')) process.env.UCX_MEM_EVENTS ??= 'no'
  // Of sums that are begun early, Open MPI's own choice sends all numbers to one rank and back: recursive doubling between few ranks, and
  // between more Rabenseifner's, in which a rank sends twice its numbers at most.
  process.env.OMPI_MCA_coll_libnbc_iallreduce_algorithm ??= size < 4 ? '4' : '3'
  const native = addon.worldBegin(libraryFiles(family, process.env, process.platform))
  if (native.size === 0)
    throw failed(
      `${name} started this process, but its MPI library could not be loaded (${native.failures.join('; ')}); ${remedyOf(family)}`,
    )
  if (native.size !== size) {
    const started = `${name} started ${size} processes, but ${native.family} (${native.file}) sees ${native.size}: each would train alone`
    const remedy =
      launcher.name === 'srun'
        ? 'use srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH)'
        : process.env.WENGERT_MPI
          ? `WENGERT_MPI names that library: unset it, or use the launcher of ${native.family}`
          : `use the launcher of ${native.family}, or ${remedyOf(family)}`
    throw failed(`${started}; ${remedy}`, native.size)
  }
  return { addon, native }
}

let joined: Promise<void> | undefined

async function join({ stallSeconds }: { stallSeconds: number }): Promise<void> {
  const hostname = builtin.os().hostname()
  const launcher = launcherOf(process.env)
  if (!launcher || launcher.size === 1) {
    enter({ ...world(), hosts: [hostname] })
    return
  }
  const { addon, native } = begin(launcher)
  seeToTheEnd(addon)
  enter(worldOver(addon, native, []))
  addon.worldWatch([], stallSeconds, true)
  const { processors } = addon.describe()
  const share = `${hostname} ${processorsAllowed()}`
  nameFor(native.rank, hostname)
  const all = await exchangeTexts('control', JSON.stringify({ hostname, share, family: native.version }))
  const ranks = all.map((text) => JSON.parse(text) as { hostname: string; share: string; family: string })
  const hosts = ranks.map((one) => one.hostname)
  enter(worldOver(addon, native, hosts))
  const sharing = ranks.filter((one) => one.share === share).length
  addon.worldWatch(hosts, stallSeconds, sharing > processors)
  if (!process.env.WENGERT_THREADS) setThreads(Math.max(1, Math.floor(processors / sharing)))
  const other = ranks.findIndex((one) => one.family !== native.version)
  if (other >= 0)
    throw failed(`${nameOf(other)} runs ${ranks[other]?.family}, ${nameOf(native.rank)} ${native.version}; all ranks need the same`)
}

/**
 * Joins the processes that `mpirun`, `srun` or `npx wengert launch` started: from here on a fit is made by all of them
 * together. Outside of a launcher nothing changes, and there is one rank. To be awaited once, on the main thread, before
 * anything else of `distributed`; a second call waits for the first.
 *
 * Each rank takes its share of the processors, unless WENGERT_THREADS says otherwise. Should a rank fail, stall or exit with
 * a code other than 0, all are ended, with a message on stderr that names it.
 *
 * @throws (rejects) ERR_DISTRIBUTED where the launcher's MPI library cannot be loaded, or is another's; ERR_RANGE
 * @example await distributed.init()
 */
export async function init(options: InitOptions = {}): Promise<void> {
  checkOptions('distributed.init', options, ['stallSeconds'])
  const stallSeconds = stallSecondsOf(options)
  joined ??= join({ stallSeconds })
  await joined
}

/**
 * Waits for all ranks and leaves them; this process is one rank from now on. Happens by itself at the end of a program that
 * ended well.
 */
export async function finalize(): Promise<void> {
  if (world().size > 1) {
    const { hosts, rank } = world()
    await world().barrier('control')
    loadAddon().worldFinalize(false)
    enter({ ...alone, hosts: [hosts[rank] as string] })
  }
}

const alone = world()
