/** The public surface: named re-exports, and the functions of all elementwise rows. */

import './primitives/methods.js'

export { detectAnomaly } from './autodiff/anomaly.js'
export type { AllGiven, Argnums, Cotangent, Derivatives, Given, Gradient, Gradients } from './autodiff/arguments.js'
export { type CheckOptions, checkGradients, type GradientReport, type WorstGradient } from './autodiff/check-gradients.js'
export { cond, whileLoop } from './autodiff/control.js'
export { type CustomRule, checkpoint, checkpoint as remat, customGradient } from './autodiff/custom.js'
export type { DrawOptions, Seed } from './autodiff/drawing.js'
export { hessian, hvp, type JacobianMode, jacobian } from './autodiff/jacobian.js'
export { type ScanOptions, scan } from './autodiff/scan.js'
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
export { type MappedAxes, type VmapOptions, vmap } from './autodiff/vmap.js'
export type { BackendInfo, BackendName } from './backend/backend.js'
export { backend, setBackend, setThreads } from './backend/select.js'
export { type Compiled, type CompiledSignature, type CompileOptions, compile } from './compile/compile.js'
export { type DataLike, Dataset, type Encoder } from './data/dataset.js'
export type { ImageFolderOptions, Pixels, SharpPixels } from './data/image-folder.js'
export { type ImageOptions, type ImageScaling, imageTransform } from './data/images.js'
export { type PadOptions, padSequences } from './data/pad-sequences.js'
export type { RecordColumns } from './data/record-columns.js'
export { type CategoryField, type Decimal, type Field, type NumberField, recordEncoder } from './data/records.js'
export { balancedOrder, batchCount, type OrderOptions, randomOrder, stratifiedOrder } from './data/sampling.js'
export type { SplitOptions } from './data/split.js'
export type { Transform, TransformJSON } from './data/transform-rule.js'
export {
  minMax,
  oneHotColumns,
  registerTransform,
  standardize,
  transformFromJSON,
} from './data/transforms.js'
/** Training on many processes and machines over MPI. */
export * as distributed from './distributed/index.js'
export { type ErrorCode, type ErrorDetails, errorCodes, WengertError } from './errors.js'
export { type CsvInfo, type CsvOptions, type CsvStream, type ReadCsvOptions, readCsv, type StreamCsvOptions, streamCsv } from './io/csv.js'
export type { ColumnType as CsvColumnType, MissingPolicy } from './io/csv-columns.js'
export type { CsvSource } from './io/csv-records.js'
export { decodeModel, encodeModel, type LoadedModel, loadModel, type ModelParts, type SaveModelOptions, saveModel } from './io/model.js'
export type { SaveTableOptions, TableParts } from './io/model-table.js'
export { decodeNpy, encodeNpy, readNpy, writeNpy } from './io/npy.js'
export {
  decodeSafetensors,
  encodeSafetensors,
  loadParameters,
  readSafetensors,
  type Safetensors,
  saveParameters,
  writeSafetensors,
} from './io/safetensors.js'
export type { TableSource } from './io/table-rows.js'
export { type ReadTableOptions, readTable, type StreamTableOptions, streamTable } from './io/table-source.js'
export { type AttentionOptions, scaledDotProductAttention } from './nn/attend.js'
export { functionalCall } from './nn/functional.js'
/** Modules, layers, activations as layers, initialisers, and what is said of a network: summary, collapse, a sample's path. */
export * as nn from './nn/index.js'
/** Losses: (prediction, target, { reduction, weight }), and entropies. */
export * as loss from './nn/loss.js'
/** Optimisers, and `schedules` of their learning rate. */
export * as optim from './optim/index.js'
export { type MinimizeOptions, minimize, type Path } from './optim/minimize.js'
export type { CallProfile, Profile } from './plan/profile.js'
export { broadcastTo, tile } from './primitives/broadcast.js'
export { clip, elu, gelu, hardtanh, leakyRelu, mish, selu, silu, squaredDifference, tril, triu } from './primitives/composites.js'
export * from './primitives/elementwise.js'
export { gather, type Indices, oneHot, putAlong, scatterAdd, takeAlong } from './primitives/indexing.js'
export { dot, linear, matmul, outer } from './primitives/linalg.js'
export { cast, expandDims, flatten, reshape, squeeze, stopGradient, transpose } from './primitives/movement.js'
export { concat, flip, pad, type SliceRange, slice, split as splitTensor, stack } from './primitives/parts.js'
export type { Binary, Operand, Unary } from './primitives/pointwise.js'
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
  type NormOptions,
  norm,
  prod,
  type ReduceOptions,
  std,
  sum,
  type VarianceOptions,
  variance,
} from './primitives/reduce.js'
export { adaptiveAvgPool1d, adaptiveAvgPool2d, type UpsampleOptions, upsample } from './primitives/resample.js'
export { logSoftmax, logSumExp, softmax, softmaxCrossEntropy } from './primitives/softmax.js'
export { argsort, type SortOptions, sort, type TopkOptions, topk } from './primitives/sort.js'
export {
  type AvgPoolOptions,
  avgPool1d,
  avgPool2d,
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
  type MaxPoolOptions,
  maxPool1d,
  maxPool2d,
  type PoolOptions,
  unfold,
} from './primitives/spatial.js'
export type { Spatial } from './primitives/spatial-axes.js'
export { SweepResult, type SweepTrial } from './sweep/result.js'
export type { SweepConfig, SweepContext, SweepOutcome, SweepRange, SweepSpace, SweepTrain } from './sweep/space.js'
export { type SweepOptions, sweep } from './sweep/sweep.js'
export type { AnswerOptions, TablePrediction } from './table/answers.js'
export { calibrate, chooseThreshold, type ThresholdOptions } from './table/calibrate.js'
export { type CategoryOptions, category } from './table/category.js'
export type { TableRecord } from './table/cell.js'
export type { ColumnType } from './table/column.js'
export { type DateOptions, date } from './table/date.js'
export type { ColumnSpec, KindName } from './table/encoding.js'
export { scoreTable, type TableScores } from './table/evaluate.js'
export { type Dependence, type Importance, type ImportanceOptions, partialDependence, permutationImportance } from './table/explain.js'
export { type ColumnReport, type FitTableOptions, type FittedTable, fitTable, tableFromJSON } from './table/fit.js'
export { ignore } from './table/kinds.js'
export { findLeaks, type Leak } from './table/leaks.js'
export { boolean, type NumberOptions, number, type Scale } from './table/number.js'
export { TablePredictor } from './table/predictor.js'
export { type FoldOptions, folds, type PartsOf, split, type TableSplitOptions } from './table/split.js'
export { type ColumnView, Table } from './table/table.js'
export { labels, type Task } from './table/target.js'
export { type TextOptions, text } from './table/text.js'
export { classWeights } from './table/weights.js'
export { type WindowOptions, windows } from './table/windows.js'
export { arange, eye, full, linspace, ones, tensor, zeros } from './tensor/creation.js'
export type { Inputs, InputsLike, TensorsOf } from './tensor/inputs.js'
export { Random, seed } from './tensor/random.js'
export {
  type ClonedTensor,
  type ForeignArray,
  type Nested,
  type NestedArray,
  Tensor,
  type TensorLike,
  type TensorOptions,
} from './tensor/tensor.js'
export {
  type Callback,
  type CallbackState,
  type EarlyStopping,
  type EarlyStoppingOptions,
  earlyStopping,
  type FitOutline,
  type Watched,
} from './train/callbacks.js'
export type { CheckpointOptions } from './train/checkpoint-policy.js'
export type { FitOptions } from './train/fit-options.js'
export type { EpochRecord, History, ParameterHealth, Scores, ScoresOf, StopReason } from './train/history.js'
export type { ProgramProfile, TrainingProfile } from './train/inspect.js'
export type { MetricContext } from './train/metric-context.js'
export { type CustomMetric, type MeanMetric, type MetricName, type MetricSpec, type MetricValue, top } from './train/metrics.js'
export type { Divergence } from './train/policies.js'
export { type ProgressLine, type ProgressOptions, type ProgressStream, progress } from './train/progress.js'
export { type Histories, type ReportOptions, report } from './train/report.js'
export type { StreamItem, StreamOptions, StreamProgress } from './train/stream.js'
export type { Trainer } from './train/trainer.js'
export type { TrainerOptions } from './train/trainer-options.js'
export { FBGD, MBSGD, type MBSGDOptions, SGD } from './train/trainers.js'
export type { Dtype, FloatDtype, TypedArray } from './util/dtype.js'
export type { Shape } from './util/shape.js'
