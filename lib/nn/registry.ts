/**
 * Classes of modules by the name under which a saved model mentions them, and modules as JSON: a list in which a module
 * refers only to earlier ones, so that a shared module is one entry and no file can make a circle. A new built-in layer
 * gives `config` (and `static fromConfig`, where its constructor does not take that); a new file of layers is an entry of `files`, of
 * image-layers.ts or of sequence-layers.ts.
 */

import { WengertError } from '../errors.js'
import { describe, listed, short } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import * as activations from './activations.js'
import * as batchNorm from './batch-norm.js'
import * as composition from './composition.js'
import * as dropout from './dropout.js'
import * as embedding from './embedding.js'
import * as images from './image-layers.js'
import * as layers from './layers.js'
import { Module } from './module.js'
import * as normalization from './normalization.js'
import * as sequences from './sequence-layers.js'
import * as tableInput from './table-input.js'

/** A class that can be saved: rebuilt by `fromConfig(config, itself)`, or by its constructor from the config. */
export interface ModuleClass {
  // biome-ignore lint/suspicious/noExplicitAny: a constructor of any parameters
  new (...args: any[]): Module
  /** Rebuilds a module from what its `config` gave; the constructor does where this is left out. */
  // biome-ignore lint/suspicious/noExplicitAny: the class as its own fromConfig types it
  fromConfig?(config: Record<string, unknown>, type?: any): Module
}

/** One saved module: its class by name, and its config with `{ $module: index }` in a module's place. */
export interface SavedModule {
  type: string
  config: Record<string, unknown>
}

/** The files of built-in layers: every class of modules that they export is known by its name. */
const files: readonly Record<string, unknown>[] = [
  layers,
  activations,
  composition,
  normalization,
  batchNorm,
  embedding,
  dropout,
  tableInput,
  ...Object.values(images),
  ...Object.values(sequences),
]

const isModuleClass = (value: unknown): value is ModuleClass => typeof value === 'function' && value.prototype instanceof Module
const byName = new Map<string, ModuleClass>()
const byClass = new Map<ModuleClass, string>()
const builtIn = new Set<unknown>()
/** Makes the layers of files known, as the library's own. */
export function learnLayers(more: readonly Record<string, unknown>[]): void {
  for (const [name, type] of more.flatMap((file) => Object.entries(file))) {
    if (!isModuleClass(type)) continue
    byName.set(name, type)
    byClass.set(type, name)
    builtIn.add(type)
  }
}
learnLayers(files)
/** Whether a model's file may name this class. */
export const isKnownLayer = (name: string): boolean => byName.has(name)
/** Whether this class was made known by `registerModule`. */
export const isOwnLayer = (name: string): boolean => byName.has(name) && !builtIn.has(byName.get(name))
const reference = '$module'
/** Of lists and objects within one config. */
const deepest = 32
/** Of modules within modules: every pass through a model is a recursion over them. */
const deepestNesting = 1024
/** Calls of layers in one pass that any model may make, shared as it may be. */
const leastCalls = 1 << 14

/**
 * Makes a class of modules known by name, for `saveModel` and `loadModel`: both processes must do so. Its `config()` says
 * what `static fromConfig(config)` or, where there is none, `new Class(config)` rebuilds it from.
 *
 * @throws ERR_VALUE for anything but a class of modules; ERR_STATE for a name or a class that is taken
 * @example
 * class Residual extends nn.Module {
 *   inner
 *   constructor({ width }) { super(); this.width = width; this.inner = new nn.Linear(width, width) }
 *   config() { return { width: this.width } }
 *   forward(x) { return x.add(this.inner.forward(x).relu()) }
 * }
 * nn.registerModule('Residual', Residual)
 */
export function registerModule(name: string, type: ModuleClass): void {
  if (typeof name !== 'string' || name === '')
    throw new WengertError('ERR_VALUE', `registerModule: expected a name, got ${describe(name)}`, { actual: name })
  if (!isModuleClass(type))
    throw new WengertError('ERR_VALUE', `registerModule: expected a class of modules for '${name}', got ${describe(type)}`, {
      actual: type,
    })
  const taken = byName.get(name)
  if (taken === type) return
  if (taken || byClass.has(type)) {
    const clash = taken ? `the name '${name}', which is ${taken.name}'s` : `${type.name}, which is known as '${byClass.get(type)}'`
    throw new WengertError('ERR_STATE', `registerModule: expected a new name and a new class, got ${clash}`, { actual: name })
  }
  byName.set(name, type)
  byClass.set(type, name)
}

/** The modules that stand in a saved config, each as often as it stands there, by their places in the list. */
function referencesOf(config: unknown): number[] {
  const found: number[] = []
  const visit = (v: unknown): void => {
    if (Array.isArray(v)) v.forEach(visit)
    else if (isPlainObject(v)) {
      if (Object.hasOwn(v, reference)) found.push(v[reference] as number)
      else Object.values(v).forEach(visit)
    }
  }
  visit(config)
  return found
}

/**
 * Refuses what is small to write and endless to run: modules nested deeper than a stack, and shared ones that call each
 * other so often that a file of 2 KB takes years (a layer used twice by one used twice by …). Each use listed may be run 16 times.
 */
function checkExtent(list: readonly SavedModule[], fail: (text: string) => WengertError): void {
  const depth: number[] = []
  const calls: number[] = []
  let uses = 0
  for (const { config } of list) {
    const inner = referencesOf(config)
    uses += 1 + inner.length
    depth.push(1 + inner.reduce((n, place) => Math.max(n, depth[place] as number), 0))
    calls.push(1 + inner.reduce((n, place) => n + (calls[place] as number), 0))
  }
  const most = Math.max(leastCalls, 16 * uses)
  const [deep = 0, often = 0] = [depth[list.length - 1], calls[list.length - 1]]
  if (deep > deepestNesting) throw fail(`modules nested at most ${deepestNesting} deep, got ${deep}`)
  if (often > most) throw fail(`modules that run at most ${most} times in one pass, got shared ones that run ${often} times`)
}

/** The module and all below it as a list; the last is the module itself. Errors: ERR_STATE for what cannot be saved. */
export function modulesToJSON(model: Module): SavedModule[] {
  const saved: SavedModule[] = []
  const places = new Map<Module, number>()
  const fail = (text: string, actual?: unknown) => new WengertError('ERR_STATE', `saveModel: expected ${text}`, { actual })

  /** A module on the way down: its entry, and the references in it that wait for the places of their modules. */
  interface Open {
    module: Module
    entry: SavedModule
    waiting: { slot: Record<string, unknown>; inner: Module }[]
    next: number
  }
  const enter = (module: Module): Open => {
    const type = byClass.get(module.constructor as ModuleClass)
    if (type === undefined) {
      const { name } = module.constructor
      throw fail(`modules known by name, got ${name}; call nn.registerModule('${name}', ${name}) first, here and where it is loaded`, name)
    }
    const waiting: Open['waiting'] = []
    const value = (v: unknown, depth: number): unknown => {
      if (v instanceof Module) {
        const slot = {}
        waiting.push({ slot, inner: v })
        return slot
      }
      if (v === null || typeof v === 'boolean' || typeof v === 'string' || (typeof v === 'number' && Number.isFinite(v))) return v
      if (depth < deepest && Array.isArray(v)) return v.map((item) => value(item, depth + 1))
      if (depth < deepest && isPlainObject(v) && !(reference in v))
        return Object.fromEntries(Object.entries(v).flatMap(([key, item]) => (item === undefined ? [] : [[key, value(item, depth + 1)]])))
      throw fail(
        `the config of ${module.describe()} to hold finite numbers, strings, booleans, lists, plain objects and modules, got ${describe(v)}`,
        v,
      )
    }
    const config = value(module.config(), 0) as Record<string, unknown>
    return { module, entry: { type, config }, waiting, next: 0 }
  }

  // The way down is a list, not the stack: modules may be nested deeply.
  const way = [enter(model)]
  const open = new Set<Module>([model])
  for (let top = way[0]; top !== undefined; top = way[way.length - 1]) {
    const wanted = top.waiting[top.next]
    if (wanted === undefined) {
      places.set(top.module, saved.push(top.entry) - 1)
      open.delete(top.module)
      way.pop()
      continue
    }
    const place = places.get(wanted.inner)
    if (place !== undefined) {
      wanted.slot[reference] = place
      top.next++
    } else if (open.has(wanted.inner)) {
      throw fail(`a tree of modules, got a ${wanted.inner.constructor.name} whose config holds itself`, wanted.inner.constructor.name)
    } else {
      open.add(wanted.inner)
      way.push(enter(wanted.inner))
    }
  }
  checkExtent(saved, fail)
  return saved
}

/**
 * The module that `modulesToJSON` gave, with weights as they start.
 *
 * @throws ERR_FILE for a list of another form, a class unknown here, a config that its class refuses, or modules that are nested
 *   or run beyond reason
 */
export function modulesFromJSON(list: unknown): Module {
  const built: Module[] = []
  const fail = (text: string, details: { actual?: unknown; cause?: unknown } = {}) =>
    new WengertError('ERR_FILE', `loadModel: expected ${text}`, details)
  if (!Array.isArray(list) || list.length === 0) throw fail(`a list of modules, got ${describe(list)}`, { actual: list })
  const checkConfig = (v: unknown, depth: number, place: number): void => {
    if (depth > deepest) throw fail(`configs at most ${deepest} deep, got a deeper one`)
    if (Array.isArray(v)) for (const item of v) checkConfig(item, depth + 1, place)
    if (!isPlainObject(v)) return
    if (!Object.hasOwn(v, reference)) {
      for (const item of Object.values(v)) checkConfig(item, depth + 1, place)
      return
    }
    const at = v[reference]
    if (!(Number.isInteger(at) && (at as number) >= 0 && (at as number) < place))
      throw fail(`references to earlier modules, got ${describe(at)} in module ${place}`, { actual: at })
  }
  list.forEach((entry: unknown, place) => {
    if (!isPlainObject(entry) || typeof entry.type !== 'string' || !isPlainObject(entry.config))
      throw fail(`modules as { type, config }, got ${describe(entry)} for module ${place}`, { actual: entry })
    checkConfig(entry.config, 0, place)
  })
  checkExtent(list, fail)
  const value = (v: unknown): unknown => {
    if (Array.isArray(v)) return v.map(value)
    if (!isPlainObject(v)) return v
    if (Object.hasOwn(v, reference)) return built[v[reference] as number]
    return Object.fromEntries(Object.entries(v).map(([key, item]) => [key, value(item)]))
  }
  for (const entry of list as SavedModule[]) {
    const type = byName.get(entry.type)
    if (!type)
      throw fail(`classes known here (${listed([...byName.keys()], 100)}), got ${describe(entry.type)}; call nn.registerModule first`, {
        actual: entry.type,
      })
    const config = value(entry.config) as Record<string, unknown>
    let module: unknown
    try {
      module = type.fromConfig ? type.fromConfig(config, type) : new type(config)
    } catch (error) {
      if (error instanceof WengertError && error.code === 'ERR_FILE') throw error
      const reason = short(String((error as Error)?.message ?? error), 300)
      throw fail(`a config that ${entry.type} takes, got module ${built.length}, refused: ${reason}`, { cause: error })
    }
    if (!(module instanceof Module)) throw fail(`${entry.type} to rebuild a module, got ${describe(module)}`, { actual: module })
    built.push(module)
  }
  return built[built.length - 1] as Module
}

/** Whether a module is a layer of the library: its forward function depends on nothing but its fields. */
export function isLibraryModule(module: Module): boolean {
  return builtIn.has(module.constructor) && Object.values(module).every((value) => typeof value !== 'function')
}
