/** Fetches layers that most models do without, when one is loaded that has them. */

import { isKnownLayer, learnLayers } from '../nn/registry.js'

/** Whether layers over images have a class of this name: else those over sequences are asked first. */
export const ofImages = (name: string): boolean => /^(Conv|\w*Pool\dd$|Upsample|ZeroPad|Random|GaussianNoise)/.test(name)

const images = () => import('./images.js')
const sequences = () => import('./sequences.js')

/** Fetches the files of layers that the header of a model's file names and that are not known yet. */
export async function bringLayers(header: string): Promise<void> {
  // JSON in a string of JSON: quotes are escaped.
  const names = [...header.matchAll(/\\"type\\":\\"(\w+)\\"/g)].map(([, name]) => name as string)
  const wanted = () => names.filter((name) => !isKnownLayer(name))
  if (wanted().some(ofImages)) learnLayers(Object.values(await images()))
  if (wanted().length > 0) learnLayers(Object.values(await sequences()))
  if (wanted().length > 0) learnLayers(Object.values(await images()))
}
