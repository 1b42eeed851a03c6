/** Layers over sequences: fetched by `bringLayers` for models that have them. */

export * from '../nn/sequence-layers.js'
