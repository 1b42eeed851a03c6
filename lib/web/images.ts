/** Layers over images and signals, and the methods of Tensor that they are made of: fetched by `bringLayers` for models that have them. */

export * as layers from '../nn/image-layers.js'
export { spatialMethods } from '../primitives/spatial-methods.js'
