/**
 * Finds and loads the binary, when it is first asked for: what WENGERT_ADDON names, or what node-gyp-build finds (a build
 * of this machine in build/Release, then the package's prebuilds). To try another place: a line in `candidates`.
 */

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WengertError } from '../errors.js'
import type { Addon } from './addon.js'

interface NodeGypBuild {
  resolve(folder: string): string
}

/** The folder of the package: the nearest one above this file whose package.json has its name. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const manifest = join(folder, 'package.json')
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }).name === 'wengert') return folder
    const above = dirname(folder)
    if (above === folder) throw new Error('the package.json of wengert is not above this file')
    folder = above
  }
}

/** Where the binary may be, each with a function that gives its path or throws. */
function candidates(require: NodeJS.Require): { name: string; path: () => string }[] {
  const named = process.env.WENGERT_ADDON
  if (named) return [{ name: 'WENGERT_ADDON', path: () => resolve(named) }]
  return [{ name: 'node-gyp-build', path: () => (require('node-gyp-build') as NodeGypBuild).resolve(packageFolder()) }]
}

interface Loaded {
  addon: Addon
  file: string
}

let loaded: Loaded | WengertError | undefined

function load(): Loaded | WengertError {
  const require = createRequire(import.meta.url)
  const attempts: string[] = []
  let cause: unknown
  for (const { name, path } of candidates(require)) {
    let tried = name
    try {
      const file = path()
      tried = file
      return { addon: require(file) as Addon, file }
    } catch (error) {
      cause = error
      const lines = (error as Error).message.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('Require stack'))
      attempts.push(`  ${tried}: ${lines.map((line) => line.trim()).join('; ')}`)
    }
  }
  const remedy = 'Build it with `npm run build:native`, or install a version of the package that has a binary for this platform.'
  const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`
  const message = `native: expected a binary for ${platform}, got none that loads:\n${attempts.join('\n')}\n${remedy}`
  return new WengertError('ERR_BACKEND', message, { cause })
}

function once(): Loaded {
  loaded ??= load()
  if (loaded instanceof Error) throw loaded
  return loaded
}

/**
 * The addon, loaded at the first call.
 *
 * @throws ERR_BACKEND listing every attempt and its cause
 */
export function loadAddon(): Addon {
  return once().addon
}

/** Where the addon was loaded from. */
export function addonFile(): string {
  return once().file
}
