/** Fetches layers that most models do without, when one is loaded that has them. */

import { isKnownLayer, isOwnLayer, learnLayers } from '../nn/registry.js'
import { attach } from '../primitives/methods.js'
import { bringStepper } from './stepper-later.js'

/** Whether layers over images have a class of this name: else those over sequences are asked first. */
export const ofImages = (name: string): boolean => /^((Causal)?Conv|\w*Pool\dd$|Upsample|ZeroPad|Random|GaussianNoise)/.test(name)

async function bringImages(): Promise<void> {
  const { layers, spatialMethods } = await import('./images.js')
  attach(spatialMethods)
  learnLayers(Object.values(layers))
}

async function bringSequences(): Promise<void> {
  const { layers, makeStepper } = await import('./sequences.js')
  learnLayers(Object.values(layers))
  bringStepper(makeStepper)
}

/**
 * Fetches the files of layers that the header of a model's file names and that are not known yet. A page's own classes may
 * call any method of Tensor.
 */
export async function bringLayers(header: string): Promise<void> {
  // JSON in a string of JSON: quotes are escaped.
  const names = [...header.matchAll(/\\"type\\":\\"(\w+)\\"/g)].map(([, name]) => name as string)
  const wanted = () => names.filter((name) => !isKnownLayer(name))
  if (wanted().some(ofImages) || names.some(isOwnLayer)) await bringImages()
  if (wanted().length > 0) await bringSequences()
  if (wanted().length > 0) await bringImages()
}
