/** Layers over images and signals: fetched by `bringLayers` for models that have them. */

export * from '../nn/image-layers.js'
