/** Losses of predictions of classes (mathematics §2): from probabilities, logarithms of them, logits or scores. */

import { customGradient } from '../autodiff/custom.js'
import { WengertError } from '../errors.js'
import { broadcastTo } from '../primitives/broadcast.js'
import {
  abs,
  add,
  div,
  equal,
  less,
  log,
  log1p,
  maximum,
  mul,
  neg,
  notEqual,
  relu,
  sigmoid,
  softplus,
  sub,
  where,
} from '../primitives/elementwise.js'
import { gather, oneHot, takeAlong } from '../primitives/indexing.js'
import { knownValues } from '../primitives/known-values.js'
import { cast } from '../primitives/movement.js'
import { mean, sum } from '../primitives/reduce.js'
import { logSoftmax, softmaxCrossEntropy } from '../primitives/softmax.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { type FloatDtype, isFloat } from '../util/dtype.js'
import { formatShape, sameShape } from '../util/shape.js'
import {
  checkLabels,
  checkLogarithms,
  checkProbabilities,
  define,
  floatingPrediction,
  type LossOptions,
  type NamedLoss,
  pair,
  perCount,
  reduced,
  sampleWeighted,
  toTensor,
  weightedAndReduced,
} from './loss-contract.js'

const bceValues = customGradient((a, y) => {
  // ln 0 is −∞, and 0 · −∞ would be NaN: logarithms stop at −100, as PyTorch's do.
  const clamped = (p: Tensor) => maximum(log(p), -100)
  const value = neg(add(mul(y, clamped(a)), mul(sub(1, y), maximum(log1p(neg(a)), -100))))
  const product = mul(a, sub(1, a))
  // In float64 a product below 1e−12 is exact still: only that of 0 itself has to be kept off the denominator.
  const denominator = a.dtype === 'float64' ? where(less(product, 2 ** -1022), 1e-12, product) : maximum(product, 1e-12)
  return [value, (g) => [mul(g, div(sub(a, y), denominator)), mul(g, sub(maximum(log1p(neg(a)), -100), clamped(a)))]]
})

/**
 * Binary cross-entropy, Eq. (3.54): −[y ln a + (1 − y) ln(1 − a)] of each element, a a probability; the logarithms are
 * clamped at −100. Derivative, Eq. (3.55): (a − y)/(a(1 − a)), its denominator at least 1e−12; in float64 as it is, and 1e−12
 * in place of 0.
 *
 * @throws ERR_RANGE for a probability outside [0, 1] on either side
 */
export const bce = define({
  name: 'bce',
  targets: 'probabilities',
  outputs: 'probabilities',
  value: (prediction, target, options) => {
    const [a, y] = pair('bce', prediction, target)
    checkProbabilities('bce', 'target', y)
    checkProbabilities('bce', 'prediction', a)
    return weightedAndReduced('bce', bceValues(a, y), options)
  },
})

const logitValues = customGradient((z, y) => [
  // softplus(z) − z y would cancel to 0 for a large z with y = 1; this form keeps the small rest.
  add(sub(relu(z), mul(z, y)), softplus(neg(abs(z)))),
  (g) => [mul(g, sub(sigmoid(z), y)), mul(g, neg(z))],
])

/** As `logitValues`, positives weighed by w: (1 − y) z + (1 + (w − 1) y) ln(1 + e^(−z)). */
const positiveValues = customGradient((z, y, w) => {
  const factor = add(mul(sub(w, 1), y), 1)
  const rest = add(softplus(neg(abs(z))), relu(neg(z)))
  return [
    add(mul(sub(1, y), z), mul(factor, rest)),
    (g) => [mul(g, sub(mul(factor, sigmoid(z)), mul(w, y))), mul(g, sub(mul(sub(w, 1), rest), z)), mul(g, mul(y, rest))],
  ]
})

/** Of `bceWithLogits`. */
export interface BceWithLogitsOptions extends LossOptions {
  /** How much a positive (y = 1) counts, > 0: one number, or one an output; above 1 for classes that are rare. 1 by default. */
  posWeight?: TensorLike | number | undefined
}

/** One weight an output, positive. Errors: ERR_SHAPE, ERR_RANGE. */
function positiveWeight(given: TensorLike | number, z: Tensor): Tensor {
  const w = cast(toTensor('bceWithLogits', 'posWeight', given, z), z.dtype)
  const outputs = z.rank > 0 ? (z.shape[z.rank - 1] as number) : 1
  if (w.rank > 1 || (w.rank === 1 && w.size !== 1 && w.size !== outputs))
    throw new WengertError(
      'ERR_SHAPE',
      `bceWithLogits: expected posWeight to be a number or [${outputs}], one an output, got ${formatShape(w.shape)}`,
      {
        expected: [outputs],
        actual: w.shape,
      },
    )
  const values = knownValues(w)
  const bad = values?.find((value) => !(value > 0 && Number.isFinite(value)))
  if (bad !== undefined) throw new WengertError('ERR_RANGE', `bceWithLogits: expected posWeight > 0, got ${bad}`, { actual: bad })
  return broadcastTo(w, z.shape)
}

/**
 * Binary cross-entropy from logits: max(z, 0) − z y + ln(1 + e^(−|z|)) of each element; derivative σ(z) − y. With
 * `posWeight` w: −[w y ln σ(z) + (1 − y) ln(1 − σ(z))].
 *
 * @throws ERR_RANGE for targets outside [0, 1], a posWeight that is not positive; ERR_SHAPE
 * @example new MBSGD(model, { loss: loss.bceWithLogits.with({ posWeight: 10 }), batchSize: 64, learningRate: 0.1 })
 */
export const bceWithLogits = define<BceWithLogitsOptions>({
  name: 'bceWithLogits',
  targets: 'probabilities',
  outputs: 'logits',
  tensors: ['posWeight'],
  value: (prediction, target, options) => {
    const [z, y] = pair('bceWithLogits', prediction, target)
    checkProbabilities('bceWithLogits', 'target', y)
    const { posWeight } = options
    const values = posWeight === undefined ? logitValues(z, y) : positiveValues(z, y, positiveWeight(posWeight, z))
    return weightedAndReduced('bceWithLogits', values, options)
  },
})

/** Of losses over classes. */
export interface ClassLossOptions extends LossOptions {
  /** One factor a class; a mean then divides by the sum of the weights used (for labels). */
  weight?: TensorLike | undefined
}

interface Scores {
  /** [m, classes] */
  z: Tensor
  m: number
  classes: number
  /** One factor a class. */
  weight: Tensor | undefined
  /** Whether one sample was given without its axis. */
  single: boolean
}

/** Scores of m samples over classes, and the classes' weights. Errors: ERR_DTYPE, ERR_SHAPE. */
function scores(op: string, what: string, prediction: unknown, options: ClassLossOptions): Scores {
  const given = floatingPrediction(op, prediction)
  const single = given.rank === 1
  const z = single ? given.reshape([1, given.size]) : given
  const [m, classes] = z.shape as [number, number]
  const weight = options.weight === undefined ? undefined : cast(toTensor(op, 'weight', options.weight, z), z.dtype)
  if (z.rank !== 2 || (weight && !sameShape(weight.shape, [classes]))) {
    const got = z.rank !== 2 ? `${what} ${formatShape(z.shape)}` : `weights ${formatShape((weight as Tensor).shape)}`
    throw new WengertError('ERR_SHAPE', `${op}: expected ${what} [m, classes] and one weight a class, got ${got}`, { actual: given.shape })
  }
  return { z, m, classes, weight, single }
}

/** The reduction of one value a sample; `used` are the class weights that a mean divides by. */
function finish(op: string, values: Tensor, single: boolean, used: Tensor | undefined, options: LossOptions): Tensor {
  const weighted = sampleWeighted(op, values, options)
  if (options.reduction === 'none') return single ? weighted.reshape([]) : weighted
  if (!used || options.reduction === 'sum') return reduced(op, weighted, options)
  return perCount(sum(weighted), sum(sampleWeighted(op, used, options)))
}

/** The class weights of labels, of several labels a sample their mean; none for distributions, whose means divide by m. */
function weightsOfLabels(target: Tensor, options: CrossEntropyOptions, dtype: FloatDtype): Tensor | undefined {
  if (isFloat(target.dtype) && target.rank > 1) return undefined
  const { weight } = options
  const all = weight === undefined || weight instanceof Tensor ? weight && cast(weight, dtype) : asTensor('weight', weight, { dtype })
  const used = usedOf(cast(target.reshape([target.size]), 'int32'), all, options.ignoreIndex, dtype)
  if (!used || target.rank < 2) return used
  const m = target.shape[0] as number
  return mean(used.reshape([m, target.size / m]), 1)
}

/** How much each label counts; undefined where all count alike. */
function usedOf(labels: Tensor, weight: Tensor | undefined, ignoreIndex: number | undefined, dtype: FloatDtype): Tensor | undefined {
  if (ignoreIndex === undefined) return weight && gather(weight, labels)
  const counted = notEqual(labels, ignoreIndex)
  if (!weight) return cast(counted, dtype)
  return where(counted, gather(weight, where(counted, labels, 0)), 0)
}

/** Of `crossEntropy`. */
export interface CrossEntropyOptions extends ClassLossOptions {
  /** ε in [0, 1]: the target becomes (1 − ε)·p + ε/classes; 0 by default. */
  labelSmoothing?: number | undefined
  /** The label of what does not count, an integer (PyTorch's is −100): its loss is 0, and a mean divides by the others. None by default. */
  ignoreIndex?: number | undefined
}

/**
 * Softmax cross-entropy: −Σ p ln softmax(z) of each sample, from logits z [m, k] and targets that are class indices
 * (m integers) or distributions p [m, k]; derivative (Σp) softmax(z) − p. `weight` holds one factor a class, and the
 * mean, a trainer's as well, then divides by the weights used (with distributions by m, as PyTorch).
 *
 * With more axes, logits [m, T, k] and labels [m, T] (PyTorch's functions have the classes on axis 1), each step counts by itself: `none`
 * gives [m, T], and a mean is over all labels but those of `ignoreIndex`.
 *
 * @throws ERR_LABEL for a label outside 0 … k − 1; ERR_RANGE for a distribution outside [0, 1]; ERR_SHAPE
 * @example loss.crossEntropy(logits, labels, { weight: [1, 2, 4], labelSmoothing: 0.1 })
 * @example new MBSGD(model, { loss: loss.crossEntropy.with({ ignoreIndex: -1 }), batchSize: 32, learningRate: 0.1 })
 */
export const crossEntropy: NamedLoss<CrossEntropyOptions> = define<CrossEntropyOptions>({
  name: 'crossEntropy',
  targets: 'classes',
  outputs: 'classLogits',
  numbers: { labelSmoothing: { min: 0, max: 1 }, ignoreIndex: { integer: true } },
  value: (prediction, target, options) => {
    const op = 'crossEntropy'
    const given = floatingPrediction(op, prediction)
    if (given.rank > 2) return ofSteps(op, crossEntropy, given, toTensor(op, 'target', target), options)
    const { z, m, classes, weight, single } = scores(op, 'logits', prediction, options)
    const { labelSmoothing: smoothing = 0 } = options
    const raw = toTensor(op, 'target', target)
    // The part of the target that smoothing spreads evenly.
    const even = () => mul(sum(weight ? mul(logSoftmax(z, 1), weight) : logSoftmax(z, 1), 1), -smoothing / classes)
    if (isFloat(raw.dtype) && sameShape(raw.shape, single ? [classes] : z.shape)) {
      const p = cast(raw.reshape(z.shape), z.dtype)
      checkProbabilities(op, 'target', p)
      const sharp = neg(sum(mul(weight ? mul(p, weight) : p, logSoftmax(z, 1)), 1))
      return finish(op, smoothing === 0 ? sharp : add(mul(sharp, 1 - smoothing), even()), single, undefined, options)
    }
    const { ignoreIndex } = options
    const labels = checkLabels(op, raw, m, classes, ignoreIndex)
    const used = usedOf(labels, weight, ignoreIndex, z.dtype as FloatDtype)
    const plain = softmaxCrossEntropy(z, ignoreIndex === undefined ? labels : where(equal(labels, ignoreIndex), 0, labels))
    const sharp = used ? mul(plain, used) : plain
    const smooth = () => (ignoreIndex === undefined ? even() : where(equal(labels, ignoreIndex), 0, even()))
    return finish(op, smoothing === 0 ? sharp : add(mul(sharp, 1 - smoothing), smooth()), single, used, options)
  },
  weightsOf: weightsOfLabels,
})

/** Of outputs [m, …, k] and labels [m, …]: every label as a sample of its own. */
function ofSteps<Options extends ClassLossOptions>(
  op: string,
  loss: (z: Tensor, y: Tensor, options: Options) => Tensor,
  z: Tensor,
  target: Tensor,
  options: Options,
): Tensor {
  const lead = z.shape.slice(0, -1)
  const classes = z.shape[z.rank - 1] as number
  if (!sameShape(target.shape, lead))
    throw new WengertError(
      'ERR_SHAPE',
      `${op}: expected labels ${formatShape(lead)} for outputs ${formatShape(z.shape)}, one a step, got ${formatShape(target.shape)}`,
      { expected: lead, actual: target.shape },
    )
  const rows = z.size / classes
  const { sampleWeight, mask, ...others } = options
  // What a sample or its first steps count, each of its labels does.
  const spread = (name: 'sampleWeight' | 'mask', given: TensorLike | undefined) => {
    if (given === undefined) return {}
    const w = toTensor(op, name, given, name === 'mask' ? undefined : z)
    const axes = name === 'mask' ? w.rank : 1
    if (!sameShape(w.shape, lead.slice(0, axes)))
      throw new WengertError(
        'ERR_SHAPE',
        `${op}: expected ${name} of shape ${formatShape(lead.slice(0, axes))}, got ${formatShape(w.shape)}`,
        {
          expected: lead.slice(0, axes),
          actual: w.shape,
        },
      )
    const whole = broadcastTo(w.reshape([...w.shape, ...lead.slice(axes).map(() => 1)]), lead)
    return { [name]: whole.reshape([rows]) }
  }
  const each = { ...others, ...spread('sampleWeight', sampleWeight), ...spread('mask', mask) } as unknown as Options
  const values = loss(z.reshape([rows, classes]), target.reshape([rows]), each)
  return options.reduction === 'none' ? values.reshape(lead) : values
}

/**
 * Negative log-likelihood: −q[label] of each sample, from log-probabilities q [m, k] (the output of `LogSoftmax`) and m class
 * indices; derivative −1 at the label. `weight` holds one factor a class, and the mean then divides by the weights used. With more axes,
 * [m, T, k] and labels [m, T], each step counts by itself.
 *
 * @throws ERR_LABEL for a label outside 0 … k − 1; ERR_RANGE for a logarithm above 0; ERR_SHAPE
 */
export const nll: NamedLoss<ClassLossOptions> = define<ClassLossOptions>({
  name: 'nll',
  targets: 'classes',
  outputs: 'logProbabilities',
  value: (prediction, target, options) => {
    const given = floatingPrediction('nll', prediction)
    if (given.rank > 2) return ofSteps('nll', nll, given, toTensor('nll', 'target', target), options)
    const { z, m, classes, weight, single } = scores('nll', 'log-probabilities', given, options)
    const labels = checkLabels('nll', toTensor('nll', 'target', target), m, classes)
    checkLogarithms('nll', z)
    const used = weight && gather(weight, labels)
    const values = neg(takeAlong(z, labels.reshape([m, 1]), 1).reshape([m]))
    return finish('nll', used ? mul(values, used) : values, single, used, options)
  },
  weightsOf: weightsOfLabels,
})

/**
 * Multi-class hinge: Σ_{j≠y} max(0, 1 − z_y + z_j) of each sample, from scores z [m, k] and m class indices; subgradient 0 at
 * the kinks. `mean` is over samples; `weight` holds one factor a class, that of the label (the mean divides by m). With more axes,
 * [m, T, k] and labels [m, T], each step counts by itself.
 *
 * @throws ERR_LABEL for a label outside 0 … k − 1; ERR_SHAPE
 */
export const multiClassHinge: NamedLoss<ClassLossOptions> = define<ClassLossOptions>({
  name: 'multiClassHinge',
  targets: 'classes',
  outputs: 'classScores',
  value: (prediction, target, options) => {
    const op = 'multiClassHinge'
    const given = floatingPrediction(op, prediction)
    if (given.rank > 2) return ofSteps(op, multiClassHinge, given, toTensor(op, 'target', target), options)
    const { z, m, classes, weight, single } = scores(op, 'scores', given, options)
    const labels = checkLabels(op, toTensor(op, 'target', target), m, classes)
    const own = takeAlong(z, labels.reshape([m, 1]), 1)
    const others = sub(1, oneHot(labels, classes, { dtype: z.dtype as FloatDtype }))
    const values = sum(mul(relu(sub(add(z, 1), own)), others), 1)
    return finish(op, weight ? mul(values, gather(weight, labels)) : values, single, undefined, options)
  },
})
