/**
 * What a tree of modules is made of, remembered so that "is it still the same?" is answered by a few comparisons: no names
 * are built and nothing is allocated, since every prediction and every update asks.
 */

import { isPlainObject } from '../util/tree.js'
import type { Parameter } from './parameter.js'

type Fields = Record<string, unknown>

/** An object of the tree with its own fields as they were; or, without keys, a list with its members. */
interface Holder {
  readonly object: Fields
  readonly keys: readonly string[]
  readonly values: readonly unknown[]
}

interface Collection {
  readonly object: Map<unknown, unknown> | Set<unknown>
  readonly values: readonly unknown[]
}

/** Longer lists of plain values are known by their identity: nobody's configuration, and slow to compare. */
const longest = 256

/** The layers of a module, their fields and parameters, as they were when this was made. */
export class Signature {
  readonly #objects: Holder[] = []
  readonly #lists: Holder[] = []
  readonly #collections: Collection[] = []

  /**
   * @param modules of `root`, itself included: all of their own fields belong to the tree, and what the containers among them hold
   * @param ignored a field that does not matter
   */
  constructor(
    root: object,
    modules: readonly object[],
    readonly parameters: readonly Parameter[],
    readonly ignored?: string,
  ) {
    const objects = new Set<unknown>(modules)
    const known = new Set<unknown>([...modules, ...parameters])
    const seen = new Set<unknown>()
    const visit = (value: unknown) => {
      if (seen.has(value)) return
      const values = this.#note(value, objects.has(value), (members) => members.length <= longest || members.some((m) => known.has(m)))
      if (values === undefined) return
      seen.add(value)
      for (const member of values) visit(member)
    }
    visit(root)
  }

  /** Remembers an object of the tree; what it holds, or undefined where it is known by its identity. */
  #note(value: unknown, isModule: boolean, counts: (members: readonly unknown[]) => boolean): readonly unknown[] | undefined {
    if (Array.isArray(value)) {
      const values = [...value]
      if (!counts(values)) return undefined
      this.#lists.push({ object: value as unknown as Fields, keys: [], values })
      return values
    }
    if (value instanceof Map || value instanceof Set) {
      const values = membersOf(value)
      if (!counts(values)) return undefined
      this.#collections.push({ object: value, values })
      return values
    }
    if (!isModule && !isPlainObject(value)) return undefined
    const object = value as Fields
    const keys: string[] = []
    for (const key in object) keys.push(key)
    const values = keys.map((key) => object[key])
    this.#objects.push({ object, keys, values })
    return values
  }

  /** Whether the tree is as it was: its modules, containers and parameters are the same ones, and all other fields have the same values. */
  get holds(): boolean {
    const objects = this.#objects
    for (let i = 0; i < objects.length; i++) {
      const { object, keys, values } = objects[i] as Holder
      let n = 0
      // Own fields: of what a class brings along, nothing is enumerable. Where all are plain, engines read them here by their places.
      for (const key in object) {
        if (key !== keys[n] || (object[key] !== values[n] && key !== this.ignored && !Object.is(object[key], values[n]))) return false
        n++
      }
      if (n !== keys.length) return false
    }
    const lists = this.#lists
    for (let i = 0; i < lists.length; i++) {
      const { object, values } = lists[i] as Holder
      if (!sameMembers(object as unknown as readonly unknown[], values)) return false
    }
    for (const { object, values } of this.#collections) if (!sameMembers(membersOf(object), values)) return false
    return true
  }
}

const membersOf = (value: Map<unknown, unknown> | Set<unknown>): unknown[] => (value instanceof Map ? [...value].flat() : [...value])

function sameMembers(now: readonly unknown[], then: readonly unknown[]): boolean {
  if (now.length !== then.length) return false
  for (let i = 0; i < then.length; i++) if (now[i] !== then[i] && !Object.is(now[i], then[i])) return false
  return true
}
