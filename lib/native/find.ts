/**
 * Where the binary may be: in a clone a build of this machine or a release binary, else the package of this platform. To look in
 * another place: a line in `places`.
 */

import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { binaries, glibcVersion, type Installation, ownPlatform, packageFor } from './platforms.js'

/** Fetched when it is used: importing node:fs brings all of Node's streams. */
const files = () => process.getBuiltinModule('node:fs')

interface Manifest {
  name?: string
  version?: string
}
const manifestAt = (file: string) => JSON.parse(files().readFileSync(file, 'utf8')) as Manifest

/** The folder of the package: the nearest one above this file whose package.json has its name. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const manifest = join(folder, 'package.json')
    if (files().existsSync(manifest) && manifestAt(manifest).name === 'wengert') return folder
    const above = dirname(folder)
    if (above === folder) throw new Error('the package.json of wengert is not above this file')
    folder = above
  }
}

/** What stands for the package's folder: tests name another. */
const home = () => process.env.WENGERT_PREBUILD || packageFolder()

/** Unknown where the library was bundled into a program. */
function ownVersion(): string | undefined {
  try {
    return manifestAt(join(home(), 'package.json')).version
  } catch {
    return undefined
  }
}

/** The C library of this process, as release binaries name it: slow to find out, so asked for only where it is in doubt. */
const libc = () => process.env.LIBC || (process.platform === 'linux' ? (glibcVersion() === undefined ? 'musl' : 'glibc') : undefined)

/** A build of this machine. */
function built(): string[] {
  const file = join(home(), 'build', 'Release', 'wengert.node')
  return files().existsSync(file) && !process.env.PREBUILDS_ONLY ? [file] : []
}

/** Resolves as a module of the library does. One that was bundled into a program asks from where it stands. */
function requireHere(): NodeJS.Require {
  try {
    return createRequire(join(home(), 'package.json'))
  } catch {
    return createRequire(import.meta.url)
  }
}

/**
 * The binary in the package of this platform: an optional dependency, of which package managers install those that fit. Some
 * know nothing of C libraries and install both of Linux.
 */
function installed(): string[] {
  const { platform, arch } = process
  const require = requireHere()
  const names = platform === 'linux' ? ['glibc', 'musl'].map((one) => `linux-${arch}-${one}`) : [`${platform}-${arch}`]
  const manifests = new Map<string, string>()
  for (const name of names) {
    try {
      manifests.set(name, require.resolve(`${packageFor(name)}/package.json`))
    } catch {
      // Not there.
    }
  }
  const [only, another] = [...manifests.keys()]
  const own = another === undefined ? only : `linux-${arch}-${libc()}`
  const manifest = own && manifests.get(own)
  const here = own ?? ownPlatform()
  if (!manifest) throw new Error(here in binaries ? `${packageFor(here)} is not installed` : `a release has none for ${here}`)
  const wanted = ownVersion()
  const { name, version } = manifestAt(manifest)
  if (wanted !== undefined && wanted !== version)
    throw new Error(`${name} is of version ${version}, wengert is of ${wanted}: install both again`)
  return [join(dirname(manifest), 'wengert.node')]
}

/** The release binaries of a clone that made them; a C library in a name (`wengert.musl.node`) is this process's. */
function prebuilds(): string[] {
  const folder = join(home(), 'prebuilds', `${process.platform}-${process.arch}`)
  const { existsSync, readdirSync } = files()
  if (!existsSync(folder)) return []
  const own = libc()
  const fits = (name: string) => name.split('.').every((part) => !['glibc', 'musl'].includes(part) || part === own)
  const names = readdirSync(folder).filter((name) => name.endsWith('.node') && fits(name))
  return names.map((name) => join(folder, name))
}

/** In order: each place with a function that gives paths, or throws. */
export function places(): { name: string; paths: () => string[] }[] {
  const named = process.env.WENGERT_ADDON
  if (named) return [{ name: 'WENGERT_ADDON', paths: () => [resolve(named)] }]
  return [
    { name: 'build', paths: built },
    { name: 'prebuilds', paths: prebuilds },
    { name: 'package', paths: installed },
  ]
}

/** What is installed beside the library, for the remedy. */
export function installation(): Installation {
  const { existsSync, readdirSync } = files()
  let clone = false
  try {
    clone = existsSync(join(home(), 'CMakeLists.txt'))
  } catch {
    // Bundled into a program.
  }
  const folders = (requireHere().resolve.paths('wengert') ?? []).map((folder) => join(folder, '@wengert')).filter(existsSync)
  return {
    named: process.env.WENGERT_ADDON,
    clone,
    packages: [...new Set(folders.flatMap((folder) => readdirSync(folder)))].map((name) => `@wengert/${name}`),
  }
}
