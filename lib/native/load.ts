/**
 * Finds and loads the binary, when it is first asked for: what WENGERT_ADDON names, or what node-gyp-build finds (a build
 * of this machine in build/Release, then the package's prebuilds); where that one does not load, the other prebuilds for this
 * platform. To try another place: a line in `candidates`.
 */

import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WengertError } from '../errors.js'
import type { Addon } from './addon.js'
import { flaw } from './inspect.js'
import { ownPlatform, remedyOn } from './platforms.js'

interface NodeGypBuild {
  resolve(folder: string): string
}

/** Fetched when it is used, here and below: importing node:fs brings all of Node's streams. */
const files = () => process.getBuiltinModule('node:fs')

/** The folder of the package: the nearest one above this file whose package.json has its name. */
export function packageFolder(): string {
  const { existsSync, readFileSync } = files()
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const manifest = join(folder, 'package.json')
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }).name === 'wengert') return folder
    const above = dirname(folder)
    if (above === folder) throw new Error('the package.json of wengert is not above this file')
    folder = above
  }
}

/** The C library of this process, as prebuilds name it: slow to find out, so asked for only where the first binary fails. */
function libc(): string | undefined {
  if (process.env.LIBC) return process.env.LIBC
  if (process.platform !== 'linux') return undefined
  const { existsSync } = files()
  // Other runtimes may have no report.
  const report = (process as Partial<NodeJS.Process>).report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header ? (report.header.glibcVersionRuntime ? 'glibc' : 'musl') : existsSync('/etc/alpine-release') ? 'musl' : 'glibc'
}

/** The package's binaries for this platform; a C library in a name (`wengert.musl.node`) is this process's. */
function prebuilds(): string[] {
  const folder = join(process.env.WENGERT_PREBUILD || packageFolder(), 'prebuilds', `${process.platform}-${process.arch}`)
  const { existsSync, readdirSync } = files()
  if (!existsSync(folder)) return []
  const own = libc()
  const fits = (name: string) => name.split('.').every((part) => !['glibc', 'musl'].includes(part) || part === own)
  const names = readdirSync(folder).filter((name) => name.endsWith('.node') && fits(name))
  return names.map((name) => join(folder, name))
}

/** Where the binary may be: each place with a function that gives paths, or throws. */
function candidates(require: NodeJS.Require): { name: string; paths: () => string[] }[] {
  const named = process.env.WENGERT_ADDON
  if (named) return [{ name: 'WENGERT_ADDON', paths: () => [resolve(named)] }]
  const found = () => [(require('node-gyp-build') as NodeGypBuild).resolve(packageFolder())]
  return [
    { name: 'node-gyp-build', paths: found },
    { name: 'prebuilds', paths: prebuilds },
  ]
}

/** A binary, or a place to look for one, and what became of it: 'loaded', or why not. */
export interface Attempt {
  tried: string
  outcome: string
}

interface Loaded {
  addon: Addon
  file: string
}

const attempts: Attempt[] = []
let loaded: Loaded | WengertError | undefined

const told = (error: unknown) =>
  (error as Error).message
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('Require stack'))
    .map((line) => line.trim())
    .join('; ')

/**
 * When the process exits, Node ends its workers one after the other, each waiting for its trainings, while the others' still
 * take the processors: so all are told at once, as the first thing. In a worker 'exit' is that worker's, and says nothing of the rest.
 * One listener a process, and one entry a file: test runners load modules many times over.
 */
function leaveAtExit(require: NodeJS.Require, file: string, addon: Addon): void {
  const { isMainThread } = require('node:worker_threads') as typeof import('node:worker_threads')
  if (!isMainThread) return
  const key = Symbol.for('wengert.addons')
  const holder = process as { [key]?: Map<string, Addon> }
  if (!holder[key]) {
    const addons = new Map<string, Addon>()
    holder[key] = addons
    process.once('exit', () => {
      for (const one of addons.values()) one.abandonAll()
    })
  }
  if (!holder[key].has(file)) holder[key].set(file, addon)
}

function load(lacks: (addon: Addon) => string | undefined): Loaded | WengertError {
  const require = createRequire(import.meta.url)
  let cause: unknown
  const failed = (tried: string, error: unknown) => {
    cause = error
    attempts.push({ tried, outcome: told(error) })
  }
  for (const { name, paths } of candidates(require)) {
    let found: string[] = []
    try {
      found = paths()
    } catch (error) {
      failed(name, error)
    }
    for (const file of found) {
      if (attempts.some(({ tried }) => tried === file)) continue
      try {
        const broken = files().existsSync(file) ? flaw(file) : undefined
        if (broken !== undefined) throw new Error(broken)
        const addon = require(file) as Addon
        const lacking = lacks(addon)
        if (lacking !== undefined) throw new Error(lacking)
        attempts.push({ tried: file, outcome: 'loaded' })
        leaveAtExit(require, file, addon)
        return { addon, file }
      } catch (error) {
        failed(file, error)
      }
    }
  }
  const remedy = `Build it with \`npm run build:native\` in a clone, or install a release. ${remedyOn(ownPlatform())}`
  const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`
  const list = attempts.map(({ tried, outcome }) => `  ${tried}: ${outcome}`).join('\n')
  const message = `native: expected a binary for ${platform}, got none that loads:\n${list}\n${remedy}`
  return new WengertError('ERR_BACKEND', message, { cause })
}

/**
 * The addon, loaded at the first call. `lacks` says what is wrong with one that loads but is of no use; the next is tried then.
 *
 * @throws ERR_BACKEND listing every attempt and its cause
 */
export function loadAddon(lacks: (addon: Addon) => string | undefined = () => undefined): Addon {
  const known = loaded !== undefined
  loaded ??= load(lacks)
  if (loaded instanceof Error) throw loaded
  const lacking = known ? lacks(loaded.addon) : undefined
  if (lacking !== undefined) throw new WengertError('ERR_BACKEND', `native: ${loaded.file}: ${lacking}`)
  return loaded.addon
}

/** Where the addon was loaded from, once it was. */
export function addonFile(): string {
  if (loaded === undefined || loaded instanceof Error) throw loaded ?? new WengertError('ERR_BACKEND', 'native: expected a loaded binary')
  return loaded.file
}

/** What was tried so far, in order. */
export function addonAttempts(): readonly Attempt[] {
  return attempts
}
