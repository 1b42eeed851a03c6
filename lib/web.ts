/**
 * `wengert/web`: the library where there is no Node: a browser, a worker, an edge runtime. The JavaScript engine computes; models
 * come from bytes. What reads and writes files or a terminal is left out: CSV and tables, reports, `saveModel(path)`, checkpoints.
 */

export { detectAnomaly } from './autodiff/anomaly.js'
export type { AllGiven, Argnums, Cotangent, Derivatives, Given, Gradient, Gradients } from './autodiff/arguments.js'
export { type CheckOptions, checkGradients, type GradientReport, type WorstGradient } from './autodiff/check-gradients.js'
export { type CustomRule, checkpoint, checkpoint as remat, customGradient } from './autodiff/custom.js'
export type { DrawOptions } from './autodiff/drawing.js'
export { hessian, hvp, type JacobianMode, jacobian } from './autodiff/jacobian.js'
export { type Adjoints, Tape, trace } from './autodiff/trace.js'
export {
  type GradOptions,
  grad,
  jvp,
  type NamedGradients,
  type Parameterized,
  valueAndGrad,
  vjp,
} from './autodiff/transforms.js'
export { setBackend } from './backend/select.js'
export { type DataLike, Dataset, type Encoder } from './data/dataset.js'
export { type ImageOptions, type ImageScaling, imageTransform } from './data/images.js'
export { balancedOrder, batchCount, type OrderOptions, randomOrder, stratifiedOrder } from './data/sampling.js'
export { type SplitOptions, split } from './data/split.js'
export type { Transform, TransformJSON } from './data/transform-rule.js'
export {
  minMax,
  oneHotColumns,
  registerTransform,
  standardize,
  transformFromJSON,
} from './data/transforms.js'
export { errorCodes } from './errors.js'
export { encodeModel, type SaveModelOptions } from './io/model.js'
export type { SaveTableOptions, TableParts } from './io/model-table.js'
export { decodeNpy, encodeNpy } from './io/npy.js'
export { decodeSafetensors, encodeSafetensors, type Safetensors } from './io/safetensors.js'
export { functionalCall } from './nn/functional.js'
/** Modules, layers, activations as layers, initialisers, and what is said of a network: summary, collapse, a sample's path. */
export * as nn from './nn/index.js'
/** Losses: (prediction, target, { reduction, weight }), and entropies. */
export * as loss from './nn/loss.js'
/** Optimisers, and `schedules` of their learning rate. */
export * as optim from './optim/index.js'
export { type MinimizeOptions, minimize, type Path } from './optim/minimize.js'
export { broadcastTo, tile } from './primitives/broadcast.js'
export { clip, elu, gelu, hardtanh, leakyRelu, mish, selu, silu, squaredDifference, tril, triu } from './primitives/composites.js'
export * from './primitives/elementwise.js'
export { gather, type Indices, oneHot, putAlong, scatterAdd, takeAlong } from './primitives/indexing.js'
export { dot, linear, matmul, outer } from './primitives/linalg.js'
export { cast, expandDims, flatten, reshape, squeeze, stopGradient, transpose } from './primitives/movement.js'
export { concat, flip, pad, type SliceRange, slice, split as splitTensor, stack } from './primitives/parts.js'
export {
  type Axis,
  all,
  any,
  argmax,
  argmin,
  cumsum,
  max,
  mean,
  min,
  norm,
  prod,
  type ReduceOptions,
  std,
  sum,
  variance,
} from './primitives/reduce.js'
export { logSoftmax, logSumExp, softmax, softmaxCrossEntropy } from './primitives/softmax.js'
export { arange, eye, full, linspace, ones, zeros } from './tensor/creation.js'
export { Random, seed } from './tensor/random.js'
export {
  type Callback,
  type CallbackState,
  type EarlyStoppingOptions,
  earlyStopping,
  type FitOutline,
  type Watched,
} from './train/callbacks.js'
export type { FitOptions } from './train/fit-options.js'
export type { EpochRecord, History, ParameterHealth, Scores, StopReason } from './train/history.js'
export { type CustomMetric, type MeanMetric, type MetricName, type MetricSpec, top } from './train/metrics.js'
export type { StreamItem, StreamOptions, StreamProgress } from './train/stream.js'
export type { Trainer } from './train/trainer.js'
export type { TrainerOptions } from './train/trainer-options.js'
export { FBGD, MBSGD, type MBSGDOptions, SGD } from './train/trainers.js'
export * from './web/predict.js'
