/**
 * The programs of training, as functions on tensors: a whole step (gather, forward, loss, backward, update) is recorded
 * from what stands here, nothing is written twice for the engines.
 */

import { valueAndGrad } from '../autodiff/transforms.js'
import { counterLength, withDraws } from '../nn/dropout.js'
import type { Loss } from '../nn/loss.js'
import { lossesOf } from '../nn/loss-use.js'
import type { Module } from '../nn/module.js'
import { withBindings } from '../nn/parameter.js'
import { inEvalMode } from '../nn/predictor.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { InputSpec, Recorder } from '../plan/record.js'
import { add, div, equal, maximum, minimum, mul, sqrt, square, sub } from '../primitives/elementwise.js'
import { gather } from '../primitives/indexing.js'
import { reshape, slice } from '../primitives/movement.js'
import { sum } from '../primitives/reduce.js'
import { withScope } from '../primitives/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Dtype, FloatDtype } from '../util/dtype.js'
import { type Shape, sizeOf } from '../util/shape.js'
import { contextOf, lossName } from './metric-context.js'
import type { MeanMetric } from './metrics.js'
import type { ParameterSlots, TrainingState } from './training-state.js'

/** What a step is made of. */
export interface StepParts {
  readonly model: Module
  readonly loss: Loss
  readonly optimizer: Optimizer
  /** Whether every update of a fit has the same scalars. */
  readonly steady: boolean
  readonly state: TrainingState
  /** Means over samples, computed by the programs. */
  readonly metrics: readonly MeanMetric[]
  /** The report's entry at which the sums of gradient health begin; none by default. */
  readonly health?: number
  readonly dtype: FloatDtype
  readonly clip?: Clipping
}

/** Bounds of the gradient of an update: of its norm over all parameters, and of each element. */
export interface Clipping {
  readonly norm?: number
  readonly value?: number
}

/** A sample's shape and the targets' type. */
export interface SampleSpec {
  readonly x: Shape
  readonly y: Shape
  readonly yDtype: Dtype
  /** Whether each has a weight. */
  readonly weighted: boolean
}

/** Positions in the list of inputs that all programs of a fit share. */
export const inputIndex = {
  x: 0,
  y: 1,
  order: 2,
  rates: 3,
  validationX: 4,
  validationY: 5,
  draws: 6,
  carry: 7,
  predictions: 8,
  weights: 9,
  validationWeights: 10,
} as const

/** Sums of health for each trained parameter: Σ‖g‖², Σ‖Δθ‖², Σ‖θ‖², and how many elements of g were 0. */
export const healthEntries = 4

/** Where things stand in the report: the sum of the losses, then of each metric; validation's follow, then health's. */
export interface ReportLayout {
  readonly validation: number
  readonly health: number
  readonly length: number
}

/** @param count metrics; @param trained parameters whose health is reported */
export function reportLayout(count: number, training: boolean, validation: boolean, trained: number): ReportLayout {
  const group = 1 + count
  const first = training ? group : 0
  const health = first + (validation ? group : 0)
  return { validation: first, health, length: health + healthEntries * trained }
}

function reportAll(r: Recorder, parts: StepParts, first: number, losses: Tensor, prediction: Tensor, target: Tensor): void {
  r.report(first, losses)
  const context = contextOf(parts.loss, sizeOf(prediction.shape.slice(1)))
  parts.metrics.forEach((metric, i) => {
    r.report(first + 1 + i, metric.perSample(prediction, target, context))
  })
}

/** All samples of an update or an evaluation that is made in parts, and what their mean divides by. */
export interface Whole {
  readonly samples: number
  readonly mass: number
}

/** What each loss counts in the mean over an update's samples: Σ weight · loss · factor is the cost. */
interface Share {
  /** [samples at hand]; 1 where there are none. */
  weights?: Tensor | undefined
  /** One by what the mean divides by. */
  factor: Tensor | number
  /** Samples of the update. */
  samples: number
}

/** The share of each sample where all of the update are at hand. An update of samples that count nothing changes nothing. */
function shareOf({ loss, dtype }: StepParts, samples: number, targets: () => Tensor, weights: Tensor | undefined): Share {
  const own = loss.weightsOf?.(targets(), dtype)
  const counts = own && weights ? mul(own, weights) : (own ?? weights)
  return { weights, samples, factor: counts ? div(1, maximum(sum(counts), least)) : 1 / samples }
}

/** Below any sum of weights but 0, in either precision. */
const least = 1e-30

/** The share of each sample where what the mean divides by is known ahead. */
const knownShare = ({ samples, mass }: Whole, weights: Tensor | undefined): Share => ({
  weights,
  samples,
  factor: 1 / Math.max(mass, least),
})

/** The losses so that their sum is the number of samples times the cost: an epoch's cost is the batches' weighted by size. */
function reported(losses: Tensor, { weights, factor, samples }: Share): Tensor {
  const weighted = weights ? mul(losses, weights) : losses
  return factor === 1 / samples ? weighted : mul(weighted, typeof factor === 'number' ? factor * samples : mul(factor, samples))
}

interface Gradients {
  /** As reported. */
  losses: Tensor
  prediction: Tensor
  gradients: Tensor[]
  /** The values of what is not trained, after the forward function: it may have assigned buffers. */
  held: Tensor[]
}

/** Where a batch stands among the samples of an update. */
interface Place {
  /** Of the model's random draws; none where it draws nothing. */
  counter: Tensor | undefined
  /** Samples of the update before this batch. */
  first: number
  /** The values of what is not trained; those of the state by default. */
  held?: readonly Tensor[]
}

const untrained = (parts: StepParts): ParameterSlots[] => parts.state.parameters.filter((p) => !p.trained)

/** Forward and backward of a batch; the gradient is of its part of the update's cost. */
function differentiate(r: Recorder, parts: StepParts, x: Tensor, y: Tensor, share: Share, place: Place): Gradients {
  const { state, model, loss } = parts
  const trained = state.parameters.filter((p) => p.trained)
  const frozen = untrained(parts)
  const at = (list: readonly ParameterSlots[]) => list.map(({ slot }) => r.state(slot))
  const cost = (weights: Tensor[]): [Tensor, Omit<Gradients, 'gradients'>] =>
    withBindings(
      [...trained, ...frozen].map((p) => p.parameter),
      [...weights, ...(place.held ?? at(frozen))],
      () => {
        const prediction = withDraws(place.counter, place.first, () => model.forward(x))
        const losses = withScope(lossName(loss), () => lossesOf(loss, prediction, y))
        const held = frozen.map(({ parameter }) => parameter.resolve())
        const total = sum(share.weights ? mul(losses, share.weights) : losses)
        return [mul(total, share.factor), { losses: reported(losses, share), prediction, held }]
      },
      model,
    )
  if (trained.length === 0) {
    const [, aux] = cost([]) as [Tensor, Omit<Gradients, 'gradients'>]
    return { ...aux, gradients: [] }
  }
  const [[, aux], gradients] = valueAndGrad(cost, { hasAux: true })(at(trained))
  return { ...aux, gradients }
}

/** Records the assignments that the forward function made to buffers. */
function assignHeld(r: Recorder, parts: StepParts, held: readonly Tensor[]): void {
  untrained(parts).forEach(({ slot }, i) => {
    if (held[i] !== r.state(slot)) r.assign(slot, held[i] as Tensor)
  })
}

/** Gradients within the bounds: each element first, then all together: g · min(1, norm/(√Σg² + 1e−6)). */
function clipped(gradients: readonly Tensor[], { norm, value }: Clipping): readonly Tensor[] {
  // minimum and maximum, other than a choice, let NaN through: it must be found, not clipped.
  const bounded = value === undefined ? gradients : gradients.map((g) => maximum(minimum(g, value), -value))
  if (norm === undefined || bounded.length === 0) return bounded
  const total = sqrt(bounded.map((g) => sum(square(g))).reduce(add))
  const factor = minimum(div(norm, add(total, 1e-6)), 1)
  return bounded.map((g) => mul(g, factor))
}

/** Applies the optimiser to every trained parameter. */
function update(r: Recorder, parts: StepParts, unbounded: readonly Tensor[], rates: Tensor): void {
  const gradients = clipped(unbounded, parts.clip ?? {})
  const scalars = Array.from({ length: parts.optimizer.scalarCount }, (_, i) =>
    parts.optimizer.scalarCount === 1 ? reshape(rates, []) : slice(rates, i),
  )
  parts.state.parameters
    .filter((p) => p.trained)
    .forEach((entry, i) => {
      const result = parts.optimizer.update(
        r.state(entry.slot),
        gradients[i] as Tensor,
        entry.optimizer.map((slot) => r.state(slot)),
        scalars,
        entry.parameter,
      )
      r.assign(entry.slot, result.parameter)
      if (parts.health !== undefined)
        reportHealth(r, parts.health + healthEntries * i, r.state(entry.slot), unbounded[i] as Tensor, result.parameter)
      result.slots.forEach((value, k) => {
        r.assign(entry.optimizer[k] as number, value)
      })
    })
}

/** Adds one update's sums for a parameter; the gradient is that before clipping. */
function reportHealth(r: Recorder, entry: number, before: Tensor, gradient: Tensor, after: Tensor): void {
  r.report(entry, square(gradient))
  r.report(entry + 1, square(sub(after, before)))
  r.report(entry + 2, square(before))
  r.report(entry + 3, equal(gradient, 0))
}

/** Brings the sums of an epoch's earlier part back into the report, so that the whole adds up as if it had never been cut. */
export function carryStep(entries: number): (r: Recorder) => void {
  return (r) => {
    for (let i = 0; i < entries; i++) r.report(i, slice(r.input(inputIndex.carry), i))
  }
}

/** The counter of the model's draws, where it has any. */
const counterOf = (r: Recorder, parts: StepParts): Tensor | undefined => (parts.state.draws ? r.input(inputIndex.draws) : undefined)

/**
 * One update on samples gathered by the order, `rows` at a time: the gradients of the parts are added up, so that memory is
 * that of one part.
 */
export function batchStep(parts: StepParts, { weighted }: SampleSpec, rows = Infinity): (r: Recorder) => void {
  return (r) => {
    const order = r.input(inputIndex.order)
    const m = order.shape[0] as number
    const counter = counterOf(r, parts)
    const weights = weighted ? gather(r.input(inputIndex.weights), order) : undefined
    const all = shareOf(parts, m, () => gather(r.input(inputIndex.y), order), weights)
    let whole: Gradients | undefined
    for (let first = 0; first < m; first += rows) {
      const range = [first, Math.min(m, first + rows)] as const
      const part = rows < m ? slice(order, range) : order
      const share = rows < m && all.weights ? { ...all, weights: slice(all.weights, range) } : all
      const y = gather(r.input(inputIndex.y), part)
      const next = differentiate(r, parts, gather(r.input(inputIndex.x), part), y, share, {
        counter,
        first,
        ...(whole && { held: whole.held }),
      })
      reportAll(r, parts, 0, next.losses, next.prediction, y)
      const before: readonly Tensor[] | undefined = whole?.gradients
      whole = before ? { ...next, gradients: next.gradients.map((g, i) => add(before[i] as Tensor, g)) } : next
    }
    if (!whole) return
    assignHeld(r, parts, whole.held)
    update(r, parts, whole.gradients, r.input(inputIndex.rates))
  }
}

/** What one update is given. */
export interface DirectInputs {
  x: Tensor
  y: Tensor
  weights?: Tensor | undefined
  rates: Tensor
  counter?: Tensor | undefined
}

/** One update on the samples given. */
export function directStep(r: Recorder, parts: StepParts, given: DirectInputs): void {
  const { x, y, weights, rates, counter } = given
  const share = shareOf(parts, x.shape[0] as number, () => y, weights)
  const { losses, prediction, gradients, held } = differentiate(r, parts, x, y, share, { counter, first: 0 })
  reportAll(r, parts, 0, losses, prediction, y)
  assignHeld(r, parts, held)
  update(r, parts, gradients, rates)
}

/** One update on all samples of the inputs. */
export function fullStep(parts: StepParts, { weighted }: SampleSpec): (r: Recorder) => void {
  return (r) =>
    directStep(r, parts, {
      x: r.input(inputIndex.x),
      y: r.input(inputIndex.y),
      weights: weighted ? r.input(inputIndex.weights) : undefined,
      rates: r.input(inputIndex.rates),
      counter: counterOf(r, parts),
    })
}

/** A chunk of a full batch: adds its part of the mean gradient to the accumulators (or starts them). */
export function chunkStep(parts: StepParts, { weighted }: SampleSpec, whole: Whole, first: boolean): (r: Recorder) => void {
  return (r) => {
    const share = knownShare(whole, weighted ? r.input(inputIndex.weights) : undefined)
    const x = r.input(inputIndex.x)
    const y = r.input(inputIndex.y)
    const { losses, prediction, gradients, held } = differentiate(r, parts, x, y, share, { counter: counterOf(r, parts), first: 0 })
    reportAll(r, parts, 0, losses, prediction, y)
    assignHeld(r, parts, held)
    const trained = parts.state.parameters.filter((p) => p.trained)
    trained.forEach(({ gradient }, i) => {
      const g = gradients[i] as Tensor
      r.assign(gradient, first ? g : add(r.state(gradient), g))
    })
  }
}

/** The update that ends a chunked full batch. */
export function accumulatedUpdate(parts: StepParts): (r: Recorder) => void {
  return (r) => {
    const trained = parts.state.parameters.filter((p) => p.trained)
    update(
      r,
      parts,
      trained.map(({ gradient }) => r.state(gradient)),
      r.input(inputIndex.rates),
    )
  }
}

/** Cost and metrics of the validation samples, as in use, and their predictions where asked for. `entry` is the report's; chunks share one cost. */
export function evaluationStep(
  parts: StepParts,
  { weighted }: SampleSpec,
  whole: Whole,
  at: { entry: number; predictions: boolean },
): (r: Recorder) => void {
  const { entry, predictions } = at
  return (r) => {
    const share = knownShare(whole, weighted ? r.input(inputIndex.validationWeights) : undefined)
    const x = r.input(inputIndex.validationX)
    const y = r.input(inputIndex.validationY)
    const all = parts.state.parameters
    inEvalMode(parts.model, () =>
      withBindings(
        all.map((p) => p.parameter),
        all.map((p) => r.state(p.slot)),
        () => {
          const prediction = parts.model.forward(x)
          const losses = lossesOf(parts.loss, prediction, y)
          reportAll(r, parts, entry, reported(losses, share), prediction, y)
          if (predictions) r.output(inputIndex.predictions, prediction)
        },
        parts.model,
      ),
    )
  }
}

/** The shared inputs as one program sees them: `rows` of each, 0 where it does not look. */
export function inputSpecs(
  sample: SampleSpec,
  parts: StepParts,
  rows: { x: number; advance: number; order: number; rates: boolean; validation: number; carry?: number; output?: Shape },
): InputSpec[] {
  // Every program that reads training samples counts its own draws.
  const counters = parts.state.draws && rows.x > 0 ? counterLength : 0
  const width = (shape: Shape) => shape.reduce((a, b) => a * b, 1)
  const block = (name: string, shape: Shape, dtype: Dtype, n: number, moves: number): InputSpec => ({
    name,
    shape: [n, ...shape],
    dtype,
    advance: moves * width(shape),
  })
  return [
    block('x', sample.x, parts.dtype, rows.x, rows.advance),
    block('y', sample.y, sample.yDtype, rows.x, rows.advance),
    { name: 'order', shape: [rows.order], dtype: 'int32', advance: rows.order },
    {
      name: 'rates',
      shape: [rows.rates ? parts.optimizer.scalarCount : 0],
      dtype: parts.dtype,
      advance: rows.rates && !parts.steady ? parts.optimizer.scalarCount : 0,
    },
    block('validation x', sample.x, parts.dtype, rows.validation, rows.validation),
    block('validation y', sample.y, sample.yDtype, rows.validation, rows.validation),
    { name: 'draws', shape: [counters], dtype: 'int32', advance: counters },
    { name: 'carry', shape: [rows.carry ?? 0], dtype: 'float64' },
    {
      ...(rows.output
        ? block('predictions', rows.output, parts.dtype, rows.validation, rows.validation)
        : block('predictions', [], parts.dtype, 0, 0)),
      writable: true,
    },
    ...(sample.weighted
      ? [
          block('weights', [], parts.dtype, rows.x, rows.advance),
          block('validation weights', [], parts.dtype, rows.validation, rows.validation),
        ]
      : []),
  ]
}
