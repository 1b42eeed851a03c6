/** What the runs of the platforms share: programs with a limit of time, output through files, runtimes and packages of npm. */
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fetched } from '../package/managers.mjs'
import { root } from '../package/stage.mjs'

export const cache = join(root, '.cache', 'platforms')
mkdirSync(cache, { recursive: true })

/** Ends whatever was started with this mark in its environment, itself or by another program. */
function endMarked(mark) {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark)) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended, or is not ours.
    }
  }
}

/**
 * Runs a program to its end, or for so many minutes: then it and all that it started are ended, and the status says so. Its output
 * goes through files: Node for Windows has none on a pipe of Linux.
 */
export function run([program, ...args], { env = {}, cwd = root, minutes = 10 } = {}) {
  const paths = ['out', 'err'].map((name) => join(cache, `${process.pid}.${name}`))
  const handles = paths.map((path) => openSync(path, 'w'))
  const mark = `WENGERT_RUN=${randomUUID()}`
  const { status, signal, error } = spawnSync(program, args, {
    cwd,
    env: { ...process.env, ...env, WENGERT_RUN: mark.split('=')[1] },
    stdio: ['ignore', ...handles],
    timeout: minutes * 60_000,
    killSignal: 'SIGKILL',
  })
  const late = error?.code === 'ETIMEDOUT'
  if (late) endMarked(mark)
  for (const handle of handles) closeSync(handle)
  const [stdout, stderr] = paths.map((path) => readFileSync(path, 'utf8').replaceAll('\r\n', '\n'))
  for (const path of paths) rmSync(path)
  return { status: late ? `ended after ${minutes} minutes` : (status ?? signal ?? error?.message), late, stdout, stderr }
}

export const found = (program) => spawnSync(program, ['--version']).error === undefined

/** The folder of a package of npm, of whatever platform. */
export function packageOf(name, os, cpu, libc) {
  const bare = name.replace(/(?<=.)@.*$/, '')
  const flags = ['--force', `--os=${os}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : [])]
  return join(fetched(join(cache, 'npm'), name, [join(bare, 'package.json')], flags), '..')
}

/** The version that is installed here, for binaries that must be of the same. */
export const versionOf = (name) => JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version

/** What the test runner brings for this machine alone, for another: a NODE_PATH. */
export function testRunner(bindings, os, cpu, libc) {
  return bindings.map(([name, of]) => {
    const folder = packageOf(`${name}@${versionOf(of)}`, os, cpu, libc)
    return join(folder, ...name.split('/').map(() => '..'))
  })
}

export const released = (folder, file) => {
  const path = join(root, 'prebuilds', folder, file)
  return existsSync(path) ? path : undefined
}
