/**
 * What a tree of modules is made of, remembered so that "is it still the same?" is answered by a few comparisons: no names
 * are built and nothing is allocated, since every prediction and every update asks.
 */

import { isPlainObject } from '../util/tree.js'
import type { Parameter } from './parameter.js'

type Fields = Record<string, unknown>

/** One object of the tree with its fields, or one container with its members, as they were. */
type Node =
  | { readonly kind: 'fields'; readonly object: Fields; readonly keys: readonly string[]; readonly values: readonly unknown[] }
  | { readonly kind: 'list'; readonly object: readonly unknown[]; readonly values: readonly unknown[] }
  | { readonly kind: 'collection'; readonly object: Map<unknown, unknown> | Set<unknown>; readonly values: readonly unknown[] }

/** Longer lists of plain values are known by their identity: nobody's configuration, and slow to compare. */
const longest = 256

export class Outline {
  readonly #nodes: Node[] = []

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
      const node = nodeOf(value, objects.has(value))
      if (!node || (node.kind !== 'fields' && node.values.length > longest && !node.values.some((member) => known.has(member)))) return
      seen.add(value)
      this.#nodes.push(node)
      for (const member of node.values) visit(member)
    }
    visit(root)
  }

  /** Whether the tree is as it was: its modules, containers and parameters are the same ones, and all other fields have the same values. */
  get holds(): boolean {
    for (let i = 0; i < this.#nodes.length; i++) {
      const node = this.#nodes[i] as Node
      if (!(node.kind === 'fields' ? sameFields(node.object, node.keys, node.values, this.ignored) : sameMembers(node))) return false
    }
    return true
  }
}

function nodeOf(value: unknown, isModule: boolean): Node | undefined {
  if (Array.isArray(value)) return { kind: 'list', object: value, values: [...value] }
  if (value instanceof Map) return { kind: 'collection', object: value, values: [...value].flat() }
  if (value instanceof Set) return { kind: 'collection', object: value, values: [...value] }
  if (!isModule && !isPlainObject(value)) return undefined
  const object = value as Fields
  const keys: string[] = []
  for (const key in object) keys.push(key)
  return { kind: 'fields', object, keys, values: keys.map((key) => object[key]) }
}

function sameFields(object: Fields, keys: readonly string[], values: readonly unknown[], ignored: string | undefined): boolean {
  let n = 0
  // Own fields: of what a class brings along, nothing is enumerable.
  for (const key in object) {
    if (key !== keys[n] || (object[key] !== values[n] && key !== ignored && !Object.is(object[key], values[n]))) return false
    n++
  }
  return n === keys.length
}

function sameMembers({ object, values }: Exclude<Node, { kind: 'fields' }>): boolean {
  if (Array.isArray(object)) {
    if (object.length !== values.length) return false
    for (let i = 0; i < values.length; i++) if (object[i] !== values[i] && !Object.is(object[i], values[i])) return false
    return true
  }
  const now = object instanceof Map ? [...object].flat() : [...(object as Set<unknown>)]
  return now.length === values.length && now.every((member, i) => Object.is(member, values[i]))
}
