/**
 * Losses (mathematics §2): functions of (prediction, target), the prediction first. `none` gives one value a sample for
 * squaredError and crossEntropy, and an elementwise value for the others; `mean` of the former is over samples (the cost).
 */

import { customGradient } from '../autodiff/transforms.js'
import { WengertError } from '../errors.js'
import { add, div, log, log1p, maximum, mul, neg, softplus, square, sub } from '../primitives/elementwise.js'
import { gather } from '../primitives/indexing.js'
import { cast } from '../primitives/movement.js'
import { Abstract, Traced } from '../primitives/primitive.js'
import { mean, sum } from '../primitives/reduce.js'
import { logSoftmax, softmaxCrossEntropy } from '../primitives/softmax.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { dtypeOf, isFloat } from '../util/dtype.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'

export type Reduction = 'mean' | 'sum' | 'none'

export interface LossOptions {
  /** How the values become one: 'mean' by default. */
  reduction?: Reduction
  /** Factors of the values before reduction: one a sample (or one an element); for crossEntropy one a class. */
  weight?: TensorLike
}

/** What a loss teaches from: class labels, probabilities in [0, 1], or any numbers. */
export type TargetKind = 'classes' | 'probabilities' | 'values'

/** A loss as trainers take it: any function of (prediction, target, options), given `reduction: 'none'` by them. */
export interface Loss {
  (prediction: Tensor, target: Tensor, options?: LossOptions): Tensor
  /** What targets must be like; a user's own loss may leave it out. */
  readonly targets?: TargetKind
}

function isConcrete(x: Tensor): boolean {
  let inner = x.resolve()
  while (inner instanceof Traced) inner = inner.value
  return !(inner instanceof Abstract)
}

function toTensor(op: string, what: string, value: unknown, like?: Tensor): Tensor {
  if (value instanceof Tensor) return value
  if (Array.isArray(value) || typeof value === 'number' || dtypeOf(value) !== undefined)
    return asTensor(op, value, like ? { dtype: like.dtype } : {})
  throw new WengertError(
    'ERR_VALUE',
    `${op}: expected the ${what} to be a tensor, a typed array or nested arrays, got ${describe(value)}`,
    { actual: value },
  )
}

/** Brings both to tensors of one shape and floating type. Errors: ERR_SHAPE, ERR_DTYPE (an integer prediction: swapped?). */
function pair(op: string, prediction: unknown, target: unknown): [Tensor, Tensor] {
  const q = toTensor(op, 'prediction', prediction)
  if (!isFloat(q.dtype)) {
    throw new WengertError(
      'ERR_DTYPE',
      `${op}: expected a floating prediction as the first argument and the target second, got ${q.dtype} first; are they swapped?`,
      { expected: 'float', actual: q.dtype },
    )
  }
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

/** Refuses probabilities outside [0, 1], where the values are known. Errors: ERR_RANGE. */
export function checkProbabilities(op: string, what: string, p: Tensor): void {
  if (!isConcrete(p)) return
  const bad = (p.data as Float32Array).findIndex((x) => !(x >= 0 && x <= 1))
  if (bad >= 0) {
    const hint = what === 'target' ? '; the prediction is the first argument, the target the second' : ''
    throw new WengertError('ERR_RANGE', `${op}: expected a ${what} within [0, 1], got ${p.data[bad]} at position ${bad}${hint}`, {
      expected: [0, 1],
      actual: p.data[bad],
    })
  }
}

function optionsOf(op: string, options: LossOptions): Required<Pick<LossOptions, 'reduction'>> & Pick<LossOptions, 'weight'> {
  checkOptions(op, options, ['reduction', 'weight'])
  return { ...options, reduction: checkChoice(op, 'reduction', options.reduction ?? 'mean', ['mean', 'sum', 'none'] as const) }
}

/** Applies weights (one a sample or one an element) and the reduction over all values. */
function reduced(op: string, values: Tensor, options: LossOptions): Tensor {
  const { reduction, weight } = optionsOf(op, options)
  let weighted = values
  if (weight !== undefined) {
    const w = cast(toTensor(op, 'weight', weight, values), values.dtype)
    const perSample = w.rank === 1 && values.rank > 1 && w.size === values.shape[0]
    if (!perSample && !sameShape(w.shape, values.shape)) {
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: expected one weight a sample, [${values.shape[0] ?? 1}], or one an element, ${formatShape(values.shape)}, got ${formatShape(w.shape)}`,
        { expected: values.shape, actual: w.shape },
      )
    }
    weighted = mul(values, perSample ? w.reshape([w.size, ...values.shape.slice(1).map(() => 1)]) : w)
  }
  return reduction === 'none' ? weighted : reduction === 'sum' ? sum(weighted) : mean(weighted)
}

/** The trailing axes of each sample. */
const trailing = (x: Tensor): number[] => x.shape.slice(1).map((_, i) => i + 1)

function define(targets: TargetKind, f: (prediction: Tensor, target: Tensor, options?: LossOptions) => Tensor): Loss {
  return Object.assign(f, { targets })
}

/**
 * Half squared error, Eq. (3.52.2) with c = ½: ½ Σ (ŷ − y)² of each sample; derivative ŷ − y, Eq. (3.53).
 * `mean` is over samples.
 */
export const squaredError: Loss = define('values', (prediction, target, options = {}) => {
  const [q, y] = pair('squaredError', prediction, target)
  const squares = mul(square(sub(q, y)), 0.5)
  return reduced('squaredError', q.rank > 1 ? sum(squares, trailing(squares)) : squares, options)
})

/** Mean squared error: (ŷ − y)² of each element; derivative 2(ŷ − y)/n in a mean over n. */
export const mse: Loss = define('values', (prediction, target, options = {}) => {
  const [q, y] = pair('mse', prediction, target)
  return reduced('mse', square(sub(q, y)), options)
})

const bceValues = customGradient((a, y) => {
  const clamped = (p: Tensor) => maximum(log(p), -100)
  const value = neg(add(mul(y, clamped(a)), mul(sub(1, y), maximum(log1p(neg(a)), -100))))
  return [value, (g) => [mul(g, div(sub(a, y), maximum(mul(a, sub(1, a)), 1e-12))), mul(g, sub(maximum(log1p(neg(a)), -100), clamped(a)))]]
})

/**
 * Binary cross-entropy, Eq. (3.54): −[y ln a + (1 − y) ln(1 − a)] of each element, a a probability; the logarithms are
 * clamped at −100. Derivative, Eq. (3.55): (a − y)/(a(1 − a)), its denominator at least 1e−12.
 *
 * @throws ERR_RANGE for a probability outside [0, 1] on either side
 */
export const bce: Loss = define('probabilities', (prediction, target, options = {}) => {
  const [a, y] = pair('bce', prediction, target)
  checkProbabilities('bce', 'target', y)
  checkProbabilities('bce', 'prediction', a)
  return reduced('bce', bceValues(a, y), options)
})

/** Binary cross-entropy from logits: max(z, 0) − z y + ln(1 + e^(−|z|)) of each element; derivative σ(z) − y. */
export const bceWithLogits: Loss = define('probabilities', (prediction, target, options = {}) => {
  const [z, y] = pair('bceWithLogits', prediction, target)
  checkProbabilities('bceWithLogits', 'target', y)
  return reduced('bceWithLogits', sub(softplus(z), mul(z, y)), options)
})

/**
 * Softmax cross-entropy: −Σ p ln softmax(z) of each sample, from logits z [m, k] and targets that are class indices
 * (m integers) or distributions p [m, k]; derivative (Σp) softmax(z) − p. `weight` holds one factor a class, and the
 * mean then divides by the weights used.
 *
 * @throws ERR_LABEL for a label outside 0 … k − 1; ERR_RANGE for a distribution outside [0, 1]; ERR_SHAPE
 */
export const crossEntropy: Loss = define('classes', (prediction, target, options = {}) => {
  const op = 'crossEntropy'
  const { reduction, weight } = optionsOf(op, options)
  const given = toTensor(op, 'prediction', prediction)
  if (!isFloat(given.dtype)) {
    throw new WengertError(
      'ERR_DTYPE',
      `${op}: expected floating logits as the first argument and the target second, got ${given.dtype} first; are they swapped?`,
      { expected: 'float', actual: given.dtype },
    )
  }
  const z = given.rank === 1 ? given.reshape([1, given.size]) : given
  const [m, classes] = z.shape as [number, number]
  const raw = toTensor(op, 'target', target)
  const distribution = isFloat(raw.dtype) && sameShape(raw.shape, given.shape)
  const perClass = weight === undefined ? undefined : cast(toTensor(op, 'weight', weight, z), z.dtype)
  if (z.rank !== 2 || (perClass && !sameShape(perClass.shape, [classes]))) {
    const got = z.rank !== 2 ? `logits ${formatShape(z.shape)}` : `weights ${formatShape((perClass as Tensor).shape)}`
    throw new WengertError('ERR_SHAPE', `${op}: expected logits [m, classes] and one weight a class, got ${got}`, { actual: given.shape })
  }
  let values: Tensor
  let used: Tensor | undefined
  if (distribution) {
    const p = cast(raw.reshape(z.shape), z.dtype)
    checkProbabilities(op, 'target', p)
    const logs = logSoftmax(z, 1)
    values = neg(sum(mul(perClass ? mul(p, perClass) : p, logs), 1))
  } else {
    const labels = checkLabels(op, raw, m, classes)
    values = softmaxCrossEntropy(z, labels)
    if (perClass) {
      used = gather(perClass, labels)
      values = mul(values, used)
    }
  }
  if (reduction === 'none') return given.rank === 1 ? values.reshape([]) : values
  if (reduction === 'sum') return sum(values)
  return used ? div(sum(values), sum(used)) : mean(values)
})

/** Class labels as int32 [m]. Errors: ERR_SHAPE, ERR_LABEL. */
export function checkLabels(op: string, target: Tensor, m: number, classes: number): Tensor {
  if (target.size !== m || target.rank > 2) {
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected ${m} class labels or a distribution [${m}, ${classes}], got shape ${formatShape(target.shape)}`,
      { expected: [m], actual: target.shape },
    )
  }
  const flat = target.reshape([m])
  if (isConcrete(flat)) {
    const bad = (flat.data as Float32Array).findIndex((label) => !(Number.isInteger(label) && label >= 0 && label < classes))
    if (bad >= 0) {
      throw new WengertError(
        'ERR_LABEL',
        `${op}: expected labels that are integers in 0 … ${classes - 1}, got ${flat.data[bad]} for sample ${bad}`,
        { expected: classes, actual: flat.data[bad] },
      )
    }
  }
  return cast(flat, 'int32')
}
