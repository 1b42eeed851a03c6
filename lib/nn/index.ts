/** Modules, as `nn.*`. */

export {
  ELU,
  GELU,
  type GELUOptions,
  Hardtanh,
  LeakyReLU,
  LogSigmoid,
  LogSoftmax,
  Mish,
  SELU,
  SiLU,
  Softplus,
} from './activations.js'
export { GaussianNoise, RandomCrop, RandomHorizontalFlip, RandomShift, RandomVerticalFlip } from './augmentation.js'
export { BatchNorm1d, BatchNorm2d, type BatchNormOptions, InstanceNorm2d } from './batch-norm.js'
export { Buffer } from './buffer.js'
export { collapseLinear } from './collapse.js'
export { Flatten, Parallel, Residual } from './composition.js'
export {
  Conv1d,
  Conv2d,
  type ConvLayerOptions,
  ConvTranspose1d,
  ConvTranspose2d,
  type ConvTransposeLayerOptions,
} from './convolution.js'
export { Dropout, Dropout2d } from './dropout.js'
export { Embedding, type EmbeddingOptions } from './embedding.js'
export { functionalCall } from './functional.js'
export { type Initializer, type InitName, initializers } from './init.js'
export { type LayerTrace, layerTrace, type TracedLayer } from './layer-trace.js'
export { Identity, Linear, type LinearOptions, ReLU, Sequential, Sigmoid, Softmax, Tanh } from './layers.js'
export { Module } from './module.js'
export type { Connections, NetworkSvgOptions } from './network-svg.js'
export { GroupNorm, LayerNorm, type LayerNormOptions } from './normalization.js'
export { Parameter } from './parameter.js'
export {
  AdaptiveAvgPool1d,
  AdaptiveAvgPool2d,
  AvgPool1d,
  AvgPool2d,
  GlobalAvgPool2d,
  MaxPool1d,
  MaxPool2d,
  Upsample,
  ZeroPad2d,
} from './pooling.js'
export { type ModuleClass, registerModule } from './registry.js'
export { TableInput } from './table-input.js'
