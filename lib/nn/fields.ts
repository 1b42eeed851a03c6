/** What an object holds in its own fields, and in the lists, plain objects, Maps and Sets among them. */

import { isPlainObject } from '../util/tree.js'

/** The members of a container by name: positions of lists and Sets, keys of plain objects and Maps; undefined for anything else. */
export function membersOf(value: unknown): [name: string, member: unknown][] | undefined {
  // A hole of a list is no member.
  if (Array.isArray(value)) return Object.entries(value)
  if (value instanceof Map) return [...value].map(([key, member], i) => [typeof key === 'object' ? `${i}` : String(key), member])
  if (value instanceof Set) return [...value].map((member, i) => [`${i}`, member])
  return isPlainObject(value) ? Object.entries(value) : undefined
}

/** Calls `take` with every object in the fields of `owner`, by its dotted name; it is not looked into what is no container. */
export function eachHeld(owner: object, take: (name: string, value: object) => void): void {
  // The containers on the way down: one may hold itself.
  const open = new Set<unknown>()
  const visit = (name: string, value: unknown) => {
    if (typeof value !== 'object' || value === null || open.has(value)) return
    const members = membersOf(value)
    if (!members) {
      take(name, value)
      return
    }
    open.add(value)
    for (const [key, member] of members) visit(`${name}.${key}`, member)
    open.delete(value)
  }
  for (const [name, value] of Object.entries(owner)) visit(name, value)
}

/** The way from `owner` to an object in enumerable fields of anything that it holds, `.store.weight`; undefined where none is seen. */
export function pathTo(owner: object, wanted: object): string | undefined {
  const seen = new Set<object>([owner])
  let level: [path: string, object: object][] = [['', owner]]
  for (let depth = 0; depth < 5 && seen.size < 10_000; depth++) {
    const next: typeof level = []
    for (const [path, object] of level) {
      if (ArrayBuffer.isView(object)) continue
      for (const [name, member] of membersOf(object) ?? Object.entries(object)) {
        if (member === wanted) return `${path}.${name}`
        if (typeof member !== 'object' || member === null || seen.has(member)) continue
        seen.add(member)
        next.push([`${path}.${name}`, member])
      }
    }
    level = next
  }
  return undefined
}
