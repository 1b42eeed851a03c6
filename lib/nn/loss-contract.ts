/**
 * What a loss is, and what all of them share: conversion and checks of their arguments, weights, reductions, and options
 * bound ahead. To add a loss: `define` it in the file of its kind and name it in `loss.ts`.
 */

import { WengertError } from '../errors.js'
import { div, equal, mul, notEqual, where } from '../primitives/elementwise.js'
import { knownValues } from '../primitives/known-values.js'
import { cast } from '../primitives/movement.js'
import { mean, sum } from '../primitives/reduce.js'
import { asTensor, isTypedArray, ones, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat } from '../util/dtype.js'
import { checkChoice, checkNumber, checkOptions, describe, type NumberRule } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'

/** How the values of the samples become the loss. */
export type Reduction = 'mean' | 'sum' | 'none'

/** Of every loss. */
export interface LossOptions {
  /** How the values become one: 'mean' by default. */
  reduction?: Reduction | undefined
  /** Factors of the values before reduction: one a sample or one an element; of losses over classes one a class. */
  weight?: TensorLike | undefined
  /** Factors of the samples before reduction, one each; a mean over samples then divides by their sum: Σ wᵢ Lᵢ / Σ wᵢ. */
  sampleWeight?: TensorLike | undefined
  /**
   * Which values count: true or false, or factors, in the shape of the first axes of the values: [m], [m, T], …, so that steps of a sequence
   * that are padding do not. What does not count is 0, whatever stands there; a mean is then over what does, Σ maskᵢ Lᵢ / Σ maskᵢ, and 0
   * where nothing does. All count by default.
   */
  mask?: TensorLike | undefined
}

/** What a loss teaches from: class labels, probabilities in [0, 1], −1 or 1, or any numbers. */
export type TargetKind = 'classes' | 'probabilities' | 'signs' | 'values'

/**
 * What the outputs mean that a loss teaches: probabilities of a class each; logits of such (their sigmoid is the probability);
 * `classLogits`, whose softmax is; logarithms of probabilities; `scores`, above 0 for a class and below for the other;
 * `classScores`, the largest for the class; or any numbers.
 */
export type OutputKind = 'probabilities' | 'logits' | 'classLogits' | 'logProbabilities' | 'scores' | 'classScores' | 'values'

/** A loss as trainers take it: any function of (prediction, target, options), given `reduction: 'none'` by them. */
export interface Loss {
  (prediction: Tensor, target: Tensor, options?: LossOptions): Tensor
  /** What targets must be like; a user's own loss may leave it out. */
  readonly targets?: TargetKind
  /** What the outputs mean; where it is left out, metrics of classes find it from what the loss costs. */
  readonly outputs?: OutputKind
  /**
   * The factors that the loss puts on samples by their targets, such as class weights: [m], of the type given. A trainer's mean
   * divides by their sum (mathematics §2). Undefined where it puts none.
   */
  weightsOf?(target: Tensor, dtype: FloatDtype): Tensor | undefined
  /** The label of what does not count, such as padding; `weightsOf` then says how much of a sample counts. Trainers give a `mask` themselves. */
  readonly ignoreIndex?: number
}

/** A loss of the library: it takes anything that tensors are made of, and its options may be bound ahead. */
export interface NamedLoss<Options extends LossOptions = LossOptions> {
  (prediction: TensorLike, target: TensorLike, options?: Options): Tensor
  readonly name: string
  readonly targets: TargetKind
  readonly outputs: OutputKind
  /** Those of the options bound ahead: see `Loss`. */
  readonly weightsOf?: (target: Tensor, dtype: FloatDtype) => Tensor | undefined
  readonly ignoreIndex?: number
  /**
   * The same loss with these options, for a trainer; options of a call go before them.
   *
   * @example new MBSGD(model, { loss: loss.huber.with({ delta: 2 }), batchSize: 32, learningRate: 0.1 })
   */
  with(options: Options): NamedLoss<Options>
}

interface Definition<Options extends LossOptions> {
  readonly name: string
  readonly targets: TargetKind
  /** 'values' by default. */
  readonly outputs?: OutputKind
  /** Options that are numbers, with their ranges. */
  readonly numbers?: Readonly<Partial<Record<keyof Options, NumberRule>>>
  /** Options that are tensors, which the loss itself checks. */
  readonly tensors?: readonly (keyof Options & string)[]
  readonly value: (prediction: unknown, target: unknown, options: Options) => Tensor
  /** What a mean divides by, one number a sample, where the options weigh samples by their targets. */
  readonly weightsOf?: (target: Tensor, options: Options, dtype: FloatDtype) => Tensor | undefined
}

/** Makes a loss of its definition. Errors: ERR_OPTION for unknown options, ERR_RANGE for numbers outside their range. */
export function define<Options extends LossOptions>(definition: Definition<Options>, bound?: Options): NamedLoss<Options> {
  const { name, targets, outputs = 'values', numbers = {}, value, weightsOf } = definition
  const rules = Object.entries(numbers) as [keyof Options & string, NumberRule][]
  const known = ['reduction', 'weight', 'sampleWeight', 'mask', ...rules.map(([key]) => key), ...(definition.tensors ?? [])]
  const merged = (options: Options | undefined): Options => {
    checkOptions(name, options, known)
    // An option that is there and undefined is one that was left out.
    const given = Object.entries(options ?? {}).filter(([, setting]) => setting !== undefined)
    const all = { ...bound, ...Object.fromEntries(given) } as Options
    if (all.reduction !== undefined) checkChoice(name, 'reduction', all.reduction, ['mean', 'sum', 'none'] as const)
    for (const [key, rule] of rules) if (all[key] !== undefined) checkNumber(name, key, all[key], rule)
    return all
  }
  const call = (prediction: TensorLike, target: TensorLike, options?: Options) => {
    const all = merged(options)
    if (all.mask === undefined) return value(prediction, target, all)
    const mask = toTensor(name, 'mask', all.mask)
    // What stands where nothing counts may be no target at all.
    const y = toTensor(name, 'target', target, prediction instanceof Tensor ? prediction : undefined)
    const counted = sameShape(mask.shape, y.shape.slice(0, mask.rank))
      ? where(along(notEqual(mask, 0), y), y, targets === 'signs' ? 1 : 0)
      : y
    return value(prediction, counted, { ...all, mask })
  }
  Object.defineProperty(call, 'name', { value: name })
  const { ignoreIndex: ignored } = (bound ?? {}) as { ignoreIndex?: number }
  const loss = Object.assign(call, {
    targets,
    outputs,
    with: (options: Options) => define(definition, merged(options)),
    ...(weightsOf &&
      bound &&
      (bound.weight !== undefined || ignored !== undefined) && {
        weightsOf: (target: Tensor, dtype: FloatDtype) => weightsOf(target, bound, dtype),
      }),
    ...(ignored !== undefined && { ignoreIndex: ignored }),
  })
  // What is bound by reference may be changed later.
  if (Object.values(bound ?? {}).every((value) => typeof value !== 'object')) library.add(loss)
  return loss
}

const library = new WeakSet<object>()

/** Whether a loss is one of the library, and depends on nothing that may change. */
export const isLibraryLoss = (loss: Loss): boolean => library.has(loss)

/** Any accepted value as a tensor; arrays take the type of `like`. Errors: ERR_VALUE. */
export function toTensor(op: string, what: string, value: unknown, like?: Tensor): Tensor {
  if (value instanceof Tensor) return value
  if (Array.isArray(value) || typeof value === 'number' || isTypedArray(value))
    return asTensor(op, value, like ? { dtype: like.dtype } : {})
  throw new WengertError(
    'ERR_VALUE',
    `${op}: expected the ${what} to be a tensor, a typed array or nested arrays, got ${describe(value)}`,
    { actual: value },
  )
}

/** The prediction as a floating tensor. Errors: ERR_VALUE, ERR_DTYPE for integers (swapped with the target?). */
export function floatingPrediction(op: string, prediction: unknown): Tensor {
  const q = toTensor(op, 'prediction', prediction)
  if (!isFloat(q.dtype)) {
    throw new WengertError(
      'ERR_DTYPE',
      `${op}: expected a floating prediction as the first argument and the target second, got ${q.dtype} first; are they swapped?`,
      { expected: 'float', actual: q.dtype },
    )
  }
  return q
}

/** Brings both to tensors of one shape and floating type. Errors: ERR_VALUE, ERR_SHAPE, ERR_DTYPE. */
export function pair(op: string, prediction: unknown, target: unknown): [Tensor, Tensor] {
  const q = floatingPrediction(op, prediction)
  const y = cast(toTensor(op, 'target', target, q), q.dtype)
  if (!sameShape(q.shape, y.shape)) {
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected prediction and target of one shape, got ${formatShape(q.shape)} and ${formatShape(y.shape)}`,
      { expected: q.shape, actual: y.shape },
    )
  }
  return [q, y]
}

const order = '; the prediction is the first argument, the target the second'

/** Refuses the first value that does not hold, where values are known. Errors: ERR_RANGE. */
function checkValues(op: string, what: string, x: Tensor, expected: string, holds: (value: number) => boolean, hint = ''): void {
  const values = knownValues(x)
  const bad = values?.findIndex((value) => !holds(value)) ?? -1
  if (values === undefined || bad < 0) return
  throw new WengertError('ERR_RANGE', `${op}: expected a ${what} ${expected}, got ${values[bad]} at position ${bad}${hint}`, {
    expected,
    actual: values[bad],
  })
}

/** Refuses probabilities outside [0, 1], where the values are known. Errors: ERR_RANGE. */
export function checkProbabilities(op: string, what: string, p: Tensor): void {
  checkValues(op, what, p, 'within [0, 1]', (value) => value >= 0 && value <= 1, what === 'target' ? order : '')
}

/** Refuses targets other than −1 and 1, where the values are known. Errors: ERR_RANGE. */
export function checkSigns(op: string, target: Tensor): void {
  checkValues(op, 'target', target, 'of −1 or 1', (value) => value === -1 || value === 1, order)
}

/** Refuses logarithms of probabilities above 0 (but for rounding), where the values are known. Errors: ERR_RANGE. */
export function checkLogarithms(op: string, logs: Tensor): void {
  checkValues(op, 'prediction', logs, 'of log-probabilities, 0 or less', (value) => value <= 1e-3, '; for logits use crossEntropy')
}

/** Class labels as int32 [m]. Errors: ERR_SHAPE, ERR_LABEL. */
export function checkLabels(op: string, target: Tensor, m: number, classes: number, ignoreIndex?: number): Tensor {
  if (target.size !== m || target.rank > 2) {
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected ${m} class labels or a distribution [${m}, ${classes}], got shape ${formatShape(target.shape)}`,
      { expected: [m], actual: target.shape },
    )
  }
  const flat = target.reshape([m])
  const labels = knownValues(flat)
  if (labels) {
    const bad = labels.findIndex((label) => !(Number.isInteger(label) && label >= 0 && label < classes) && label !== ignoreIndex)
    if (bad >= 0) {
      throw new WengertError(
        'ERR_LABEL',
        `${op}: expected labels that are integers in 0 … ${classes - 1}, got ${labels[bad]} for sample ${bad}`,
        { expected: classes, actual: labels[bad] },
      )
    }
  }
  return cast(flat, 'int32')
}

/** Multiplies values by weights, one a sample (along axis 0) or, where allowed, one an element. Errors: ERR_SHAPE. */
function weighted(op: string, name: string, values: Tensor, weight: TensorLike | undefined, elements: boolean): Tensor {
  if (weight === undefined) return values
  const w = cast(toTensor(op, name, weight, values), values.dtype)
  const perSample = w.rank === 1 && values.rank > 1 && w.size === values.shape[0]
  if (!perSample && !((elements || values.rank < 2) && sameShape(w.shape, values.shape))) {
    const whole = elements ? `, or one an element, ${formatShape(values.shape)}` : ''
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected ${name} to hold one number a sample, [${values.shape[0] ?? 1}]${whole}, got ${formatShape(w.shape)}`,
      { expected: values.shape, actual: w.shape },
    )
  }
  return mul(values, along(w, values))
}

/** A tensor of the first axes of another, with axes of 1 in place of the others. */
const along = (w: Tensor, values: Tensor): Tensor =>
  w.rank === values.rank ? w : w.reshape([...w.shape, ...values.shape.slice(w.rank).map(() => 1)])

/** Leaves out what a mask does not count; factors multiply. Errors: ERR_SHAPE. */
function masked(op: string, values: Tensor, given: TensorLike | undefined): Tensor {
  if (given === undefined) return values
  const mask = toTensor(op, 'mask', given)
  if (!sameShape(mask.shape, values.shape.slice(0, mask.rank)))
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected mask to have the shape of the first axes of the losses, ${formatShape(values.shape)}, got ${formatShape(mask.shape)}`,
      { expected: values.shape, actual: mask.shape },
    )
  const counted = where(along(notEqual(mask, 0), values), values, 0)
  return mask.dtype === 'bool' ? counted : mul(counted, along(cast(mask, values.dtype), values))
}

/** Applies the mask, and the weights of samples. */
export function sampleWeighted(op: string, values: Tensor, options: LossOptions): Tensor {
  return weighted(op, 'sampleWeight', masked(op, values, options.mask), options.sampleWeight, false)
}

/** A sum by what counts in it; 0 where nothing does. */
export const perCount = (total: Tensor, counts: Tensor): Tensor => div(total, where(equal(counts, 0), 1, counts))

/** The reduction over all values, which the mask and the weights of samples have been applied to. */
export function reduced(op: string, values: Tensor, { reduction = 'mean', sampleWeight, mask }: LossOptions): Tensor {
  if (reduction === 'none') return values
  if (reduction === 'sum') return sum(values)
  if (mask !== undefined) {
    const counts = sampleWeighted(op, ones(toTensor(op, 'mask', mask).shape, { dtype: values.dtype as FloatDtype }), { sampleWeight, mask })
    return perCount(sum(values), mul(sum(counts), values.size / Math.max(1, counts.size)))
  }
  if (sampleWeight === undefined) return mean(values)
  const weights = toTensor(op, 'sampleWeight', sampleWeight, values)
  return div(sum(values), mul(sum(cast(weights, values.dtype)), values.size / Math.max(1, weights.size)))
}

/** Applies both kinds of weights and the mask, then the reduction over all values. */
export function weightedAndReduced(op: string, values: Tensor, options: LossOptions): Tensor {
  return reduced(op, sampleWeighted(op, weighted(op, 'weight', values, options.weight, true), options), options)
}
