/**
 * Classes of modules by the name under which a saved model mentions them, and modules as JSON: a list in which a module
 * refers only to earlier ones, so that a shared module is one entry and no file can make a circle. A new built-in layer
 * gives `config` (and `static fromConfig`, where its constructor does not take that); a new file of layers is an entry of `files`.
 */

import { WengertError } from '../errors.js'
import { describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import * as activations from './activations.js'
import * as composition from './composition.js'
import * as dropout from './dropout.js'
import * as embedding from './embedding.js'
import * as layers from './layers.js'
import { Module } from './module.js'
import * as normalization from './normalization.js'

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
const files: readonly Record<string, unknown>[] = [layers, activations, composition, normalization, embedding, dropout]

const isModuleClass = (value: unknown): value is ModuleClass => typeof value === 'function' && value.prototype instanceof Module
const byName = new Map(
  files.flatMap((file) => Object.entries(file).filter((entry): entry is [string, ModuleClass] => isModuleClass(entry[1]))),
)
const byClass = new Map([...byName].map(([name, type]) => [type, name]))
const reference = '$module'
const deepest = 32

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

/** The module and all below it as a list; the last is the module itself. Errors: ERR_STATE for what cannot be saved. */
export function modulesToJSON(model: Module): SavedModule[] {
  const saved: SavedModule[] = []
  const places = new Map<Module, number>()
  const open = new Set<Module>()
  const value = (v: unknown, where: string, depth: number): unknown => {
    if (v instanceof Module) return { [reference]: visit(v) }
    if (v === null || typeof v === 'boolean' || typeof v === 'string' || (typeof v === 'number' && Number.isFinite(v))) return v
    if (depth < deepest && Array.isArray(v)) return v.map((item) => value(item, where, depth + 1))
    if (depth < deepest && isPlainObject(v) && !(reference in v))
      return Object.fromEntries(
        Object.entries(v).flatMap(([key, item]) => (item === undefined ? [] : [[key, value(item, where, depth + 1)]])),
      )
    throw new WengertError(
      'ERR_STATE',
      `saveModel: expected the config of ${where} to hold finite numbers, strings, booleans, lists, plain objects and modules, got ${describe(v)}`,
      { actual: v },
    )
  }
  const visit = (module: Module): number => {
    const known = places.get(module)
    if (known !== undefined) return known
    const type = byClass.get(module.constructor as ModuleClass)
    if (type === undefined || open.has(module)) {
      const { name } = module.constructor
      throw new WengertError(
        'ERR_STATE',
        type === undefined
          ? `saveModel: expected modules known by name, got ${name}; call nn.registerModule('${name}', ${name}) first, here and where it is loaded`
          : `saveModel: expected a tree of modules, got a ${name} whose config holds itself`,
        { actual: name },
      )
    }
    open.add(module)
    const config = value(module.config(), name(module), 0) as Record<string, unknown>
    open.delete(module)
    places.set(module, saved.push({ type, config }) - 1)
    return saved.length - 1
  }
  const name = (module: Module) => module.describe()
  visit(model)
  return saved
}

/**
 * The module that `modulesToJSON` gave, with weights as they start.
 *
 * @throws ERR_FILE for a list of another form, a class unknown here, or a config that its class refuses
 */
export function modulesFromJSON(list: unknown): Module {
  const built: Module[] = []
  const fail = (text: string, details: { actual?: unknown; cause?: unknown } = {}) =>
    new WengertError('ERR_FILE', `loadModel: expected ${text}`, details)
  const value = (v: unknown, depth: number): unknown => {
    if (depth > deepest) throw fail(`configs at most ${deepest} deep, got a deeper one`)
    if (Array.isArray(v)) return v.map((item) => value(item, depth + 1))
    if (!isPlainObject(v)) return v
    if (!Object.hasOwn(v, reference)) return Object.fromEntries(Object.entries(v).map(([key, item]) => [key, value(item, depth + 1)]))
    const module = built[v[reference] as number]
    if (!module)
      throw fail(`references to earlier modules, got ${describe(v[reference])} in module ${built.length}`, { actual: v[reference] })
    return module
  }
  if (!Array.isArray(list) || list.length === 0) throw fail(`a list of modules, got ${describe(list)}`, { actual: list })
  for (const entry of list as unknown[]) {
    if (!isPlainObject(entry) || typeof entry.type !== 'string' || !isPlainObject(entry.config))
      throw fail(`modules as { type, config }, got ${describe(entry)} for module ${built.length}`, { actual: entry })
    const type = byName.get(entry.type)
    if (!type)
      throw fail(`classes known here (${[...byName.keys()].join(', ')}), got ${describe(entry.type)}; call nn.registerModule first`, {
        actual: entry.type,
      })
    const config = value(entry.config, 0) as Record<string, unknown>
    let module: unknown
    try {
      module = type.fromConfig ? type.fromConfig(config, type) : new type(config)
    } catch (error) {
      if (error instanceof WengertError && error.code === 'ERR_FILE') throw error
      throw fail(`a config that ${entry.type} takes, got module ${built.length}, refused: ${(error as Error)?.message ?? error}`, {
        cause: error,
      })
    }
    if (!(module instanceof Module)) throw fail(`${entry.type} to rebuild a module, got ${describe(module)}`, { actual: module })
    built.push(module)
  }
  return built[built.length - 1] as Module
}
