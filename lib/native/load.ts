/** Loads the binary, when it is first asked for: the first of those that find.ts knows which loads, is whole and is of this library. */

import { createRequire } from 'node:module'
import { WengertError } from '../errors.js'
import type { Addon } from './addon.js'
import { installation, places } from './find.js'
import { flaw } from './inspect.js'
import { ownPlatform, remedyOn } from './platforms.js'

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
  for (const { name, paths } of places()) {
    let found: string[] = []
    try {
      found = paths()
    } catch (error) {
      failed(name, error)
    }
    for (const file of found) {
      if (attempts.some(({ tried }) => tried === file)) continue
      try {
        const broken = process.getBuiltinModule('node:fs').existsSync(file) ? flaw(file) : undefined
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
  const remedy = remedyOn(ownPlatform(), installation())
  const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`
  const list = attempts.map(({ tried, outcome }) => `  ${tried}: ${outcome}`).join('\n')
  const message = `native: no binary for ${platform} loads:\n${list}\n${remedy}`
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
  if (loaded === undefined || loaded instanceof Error) throw loaded ?? new WengertError('ERR_BACKEND', 'native: no binary is loaded')
  return loaded.file
}

/** What was tried so far, in order. */
export function addonAttempts(): readonly Attempt[] {
  return attempts
}
