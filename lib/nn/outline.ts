/**
 * What a tree of modules is made of, remembered so that "is it still the same?" is answered by a few comparisons: no names
 * are built and nothing is allocated, since every prediction asks.
 */

import type { Parameter } from './parameter.js'

export class Outline {
  readonly #holders: Record<string, unknown>[] = []
  readonly #keys: string[] = []
  readonly #values: unknown[] = []
  /** Of each module and list of modules: how many fields it has, so that none was added. */
  readonly #nodes: object[] = []
  readonly #counts: number[] = []

  /** Of `root`, its modules (lists of them too) and parameters belong to the tree; other fields may change. */
  constructor(
    root: object,
    modules: readonly object[],
    readonly parameters: readonly Parameter[],
  ) {
    const leaves = new Set<unknown>(parameters)
    const known = new Set<unknown>([...modules, ...parameters])
    const seen = new Set<object>()
    const note = (holder: object, key: string, value: unknown) => {
      this.#holders.push(holder as Record<string, unknown>)
      this.#keys.push(key)
      this.#values.push(value)
    }
    const visit = (node: object) => {
      if (seen.has(node)) return
      seen.add(node)
      this.#nodes.push(node)
      this.#counts.push(fields(node))
      for (const [key, value] of Object.entries(node)) {
        const list = Array.isArray(value) && value.some((item) => known.has(item))
        // An empty field may come to hold a module.
        const empty = value === undefined || value === null
        if (!list && !empty && !known.has(value)) continue
        note(node, key, value)
        if (!empty && !leaves.has(value)) visit(value as object)
      }
    }
    visit(root)
  }

  /** Whether the tree is as it was. */
  get holds(): boolean {
    for (let i = 0; i < this.#keys.length; i++) {
      if ((this.#holders[i] as Record<string, unknown>)[this.#keys[i] as string] !== this.#values[i]) return false
    }
    for (let i = 0; i < this.#nodes.length; i++) if (fields(this.#nodes[i] as object) !== this.#counts[i]) return false
    return true
  }
}

function fields(node: object): number {
  if (Array.isArray(node)) return node.length
  let count = 0
  // Own fields: of what a class brings along, nothing is enumerable.
  for (const _ in node) count++
  return count
}
