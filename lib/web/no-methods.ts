/** Stands for ops on images in the bundle of `wengert/web/predict`, which fetches them with layers over images. */

export const spatialMethods = {}
