/** Fetches layers that most models do without, when one is loaded that has them. */

import { isKnownLayer, learnLayers } from '../nn/registry.js'

let brought: Promise<void> | undefined

/** Fetches layers over sequences where the header of a model's file names a class that is not known yet. */
export async function bringLayers(header: string): Promise<void> {
  // JSON in a string of JSON: quotes are escaped.
  const names = [...header.matchAll(/\\"type\\":\\"(\w+)\\"/g)].map(([, name]) => name as string)
  if (names.every(isKnownLayer)) return
  brought ??= import('./sequences.js').then((files) => learnLayers(Object.values(files)))
  await brought
}
