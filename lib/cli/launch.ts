/** `wengert launch`: a program as several processes that train together, by the MPI launcher of this machine. */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { remedyOf } from '../distributed/launcher.js'
import { type FoundLauncher, findLaunchers } from '../distributed/launchers.js'
import { answered, type Flag, given, helpOf, Misuse } from './arguments.js'
import { written } from './source.js'

const flags: Readonly<Record<string, Flag>> = {
  ranks: { short: 'n', value: 'N', says: 'how many processes' },
  hostfile: { value: 'FILE', says: "machines, one a line, as the launcher's documentation has it" },
  mpi: { value: 'openmpi|mpich', says: 'whose launcher, where there are both' },
  stall: { value: 'SECONDS', says: 'end all when one has let the others wait for so long; 30' },
  help: { short: 'h', says: 'this text' },
}
const usage = 'wengert launch -n <ranks> [--hostfile FILE] <program.js> [arguments]'

const families: Record<string, FoundLauncher['family']> = { openmpi: 'Open MPI', mpich: 'MPICH' }

/** The arguments before the program are this command's own. */
function parted(args: readonly string[]): { own: readonly string[]; program: readonly string[] } {
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string
    if (!arg.startsWith('-')) return { own: args.slice(0, i), program: args.slice(i) }
    if (arg === '--help' || arg === '-h' || arg.includes('=') || /^-n\d/.test(arg)) continue
    i++
  }
  return { own: args, program: [] }
}

function chosen(wanted: string | undefined): FoundLauncher {
  if (wanted !== undefined && !families[wanted]) throw new Misuse(`--mpi is openmpi or mpich, not ${wanted}`)
  const family = wanted === undefined ? undefined : families[wanted]
  const found = findLaunchers().find((one) => family === undefined || one.family === family)
  if (!found) throw new Error(`no launcher of ${family ?? 'Open MPI or MPICH'} was found; ${remedyOf(family)}`)
  return found
}

/** How long a launcher may take once a rank has ended all of them. */
const grace = 5000

/** What a rank says that ends all. */
const ends = /^wengert: .*; all \d+ ranks are ended$/m

/**
 * Ends a launcher that does not end by itself: over a network that is gone it waits for the other hosts for as long as TCP tries.
 * Told twice, it ends at once.
 */
function endedSoon(child: ChildProcess, command: string): void {
  const after = (ms: number, body: () => void) => setTimeout(body, ms).unref()
  after(grace, () => {
    process.stderr.write(
      `wengert: ${command} has not ended within ${grace / 1000} s, and is ended; processes of a host that cannot be reached end by themselves\n`,
    )
    child.kill('SIGTERM')
    after(1000, () => child.kill('SIGTERM'))
    after(2000, () => child.kill('SIGKILL'))
  })
}

/**
 * The ranks of this machine: who each is, and in which order they were seen to go. A launcher that ends the others may name one of
 * these, and on a busy machine neither is certain: where they differ, both are said.
 */
class Ranks {
  readonly #known: { rank: string; pid: string; host: string }[] = []
  readonly #gone: string[] = []
  readonly #server: Server

  /** @param path where they say who they are, and stay connected for as long as they live */
  constructor(path: string) {
    this.#server = createServer((connection) => {
      let pid = ''
      // Nobody who is left over keeps the launcher from ending.
      connection.unref()
      connection.setEncoding('utf8')
      connection.on('error', () => {})
      connection.once('data', (line: string) => {
        const [rank = '', own = '', host = ''] = line.trim().split(' ')
        pid = own
        this.#known.push({ rank, pid, host })
      })
      connection.on('close', () => this.#gone.push(pid))
    })
    this.#server.on('error', () => {})
    this.#server.listen(path)
    this.#server.unref()
  }

  /** What is to be said of a process that a launcher names; nothing where it is of another machine. */
  verdict(pid: string, host: string, how: string): string | undefined {
    const named = this.#known.find((one) => one.pid === pid && one.host.split('.')[0] === host.split('.')[0])
    if (!named) return undefined
    const first = this.#known.find((one) => one.pid === this.#gone[0]) ?? named
    const names = [...new Set([first, named])]
      .sort((a, b) => Number(a.rank) - Number(b.rank))
      .map((one) => `rank ${one.rank} on ${one.host}`)
    return `${names.join(' or ')}: ${how}${names.length > 1 ? '; the launcher ended the other' : ''}`
  }

  close(): void {
    this.#server.close()
  }
}

/** Runs it, and says which rank was meant where the launcher names a process alone. */
function started(file: string, args: readonly string[], environment: NodeJS.ProcessEnv, ranks: Ranks): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['inherit', 'pipe', 'pipe'], env: environment })
    let tail = ''
    let said = ''
    let ending = false
    child.stdout.on('data', (piece: Buffer) => {
      process.stdout.write(piece)
      tail = (tail + piece.toString('latin1')).slice(-4000)
    })
    child.stderr.on('data', (piece: Buffer) => {
      process.stderr.write(piece)
      said = (said + piece.toString('latin1')).slice(-4000)
      if (ending || !ends.test(said)) return
      ending = true
      endedSoon(child, file)
      // What it started on its way to other hosts may hold its streams.
      child.once('exit', () => setTimeout(finish, 500, 1).unref())
    })
    child.on('error', reject)
    child.on('close', (code, signal) => finish(code ?? (signal ? 1 : 0)))
    let finished = false
    const finish = (code: number): void => {
      if (finished) return
      finished = true
      child.stdout.destroy()
      child.stderr.destroy()
      const died = /PID (\d+) RUNNING AT (\S+)[\s\S]*?EXIT STRING: ([^\n]+)/.exec(tail)
      if (died) {
        const [, pid = '', host = '', how = ''] = died
        const verdict = ranks.verdict(pid, host, how)
        if (verdict) process.stderr.write(`wengert: ${verdict}\n`)
      }
      resolve(code)
    }
  })
}

export const launch = (args: readonly string[]): Promise<number> =>
  answered('launch', async () => {
    const { own, program } = parted(args)
    const options = given(own, flags)
    if (options.on('help')) {
      await written(helpOf(usage, 'Starts a program as several processes; it calls `await distributed.init()` and trains as ever.', flags))
      return 0
    }
    if (program.length === 0) throw new Misuse('which program? Give the path of one after the flags')
    const ranks = options.number('ranks', { integer: true, min: 1 })
    if (ranks === undefined) throw new Misuse('how many processes? Give -n')
    const stall = options.number('stall', { min: 0 })
    const hostfile = options.text('hostfile')
    const { command, family } = chosen(options.text('mpi'))
    const open = family === 'Open MPI'
    const hosts = hostfile === undefined ? (open ? ['--oversubscribe'] : []) : [open ? '--hostfile' : '-f', hostfile]
    // Open MPI ties each rank to one processor, or to one of its sockets: its threads would share that, and wait for whoever else is there.
    const free = open ? ['--bind-to', 'none'] : []
    const folder = mkdtempSync(join(tmpdir(), 'wengert-launch-'))
    const path = join(folder, 'ranks')
    const there = new Ranks(path)
    const root = process.getuid?.() === 0 && open ? { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' } : {}
    const environment = {
      ...process.env,
      ...root,
      WENGERT_RANKS: path,
      ...(stall !== undefined && { WENGERT_STALL_SECONDS: String(stall) }),
    }
    // Open MPI hands its own variables on to other machines, and those that it is told to.
    const handed = open && hostfile !== undefined && stall !== undefined ? ['-x', 'WENGERT_STALL_SECONDS'] : []
    try {
      return await started(command, ['-n', String(ranks), ...hosts, ...free, ...handed, process.execPath, ...program], environment, there)
    } finally {
      there.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })
