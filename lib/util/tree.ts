/** Trees: plain objects and arrays with leaves of one kind, as function arguments and results have. */

export type Tree<T> = T | readonly Tree<T>[] | { readonly [key: string]: Tree<T> }

/** The leaves in order (arrays by index, objects by insertion). `isLeaf` decides what is not descended into. */
export function leavesOf<T>(tree: unknown, isLeaf: (value: unknown) => value is T): T[] {
  const leaves: T[] = []
  const visit = (node: unknown) => {
    if (isLeaf(node)) leaves.push(node)
    else if (Array.isArray(node)) node.forEach(visit)
    else if (isPlainObject(node)) Object.values(node).forEach(visit)
  }
  visit(tree)
  return leaves
}

/** For each leaf, in order, the way to it: `''` for a tree that is a leaf, else `.weights.0`. */
export function pathsOf<T>(tree: unknown, isLeaf: (value: unknown) => value is T, path = ''): string[] {
  if (isLeaf(tree)) return [path]
  if (Array.isArray(tree)) return tree.flatMap((node, i) => pathsOf(node, isLeaf, `${path}.${i}`))
  if (isPlainObject(tree)) return Object.entries(tree).flatMap(([key, node]) => pathsOf(node, isLeaf, `${path}.${key}`))
  return []
}

/** The same tree with every leaf replaced; what is neither leaf nor branch stays as it is. */
export function mapTree<T>(tree: unknown, isLeaf: (value: unknown) => value is T, replace: (leaf: T) => unknown): unknown {
  if (isLeaf(tree)) return replace(tree)
  if (Array.isArray(tree)) return tree.map((node) => mapTree(node, isLeaf, replace))
  if (isPlainObject(tree)) return Object.fromEntries(Object.entries(tree).map(([key, node]) => [key, mapTree(node, isLeaf, replace)]))
  return tree
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
