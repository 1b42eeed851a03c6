/** Ops on images and signals that are methods of Tensor: see methods.ts. */

import { adaptiveAvgPool1d, adaptiveAvgPool2d, upsample } from './resample.js'
import { avgPool1d, avgPool2d, conv1d, conv2d, convTranspose1d, convTranspose2d, maxPool1d, maxPool2d, unfold } from './spatial.js'

// biome-ignore format: a table
export const spatialMethods = {
  adaptiveAvgPool1d, adaptiveAvgPool2d, avgPool1d, avgPool2d, conv1d, conv2d, convTranspose1d, convTranspose2d,
  maxPool1d, maxPool2d, unfold, upsample,
}
