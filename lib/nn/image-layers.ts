/**
 * The files of layers over images and signals, for the registry. In `wengert/web/predict` they are fetched with the first model
 * that has such a layer: a new file of them is a line here.
 */

export * as augmentation from './augmentation.js'
export * as convolution from './convolution.js'
export * as pooling from './pooling.js'
