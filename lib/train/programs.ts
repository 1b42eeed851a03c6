/**
 * The programs of training, as functions on tensors: an update (its samples, forward, loss, backward, clipping, optimiser) is
 * recorded from what stands here, whichever way it is run afterwards; nothing is written twice for the engines.
 */

import { valueAndGrad } from '../autodiff/transforms.js'
import { counterLength, withDraws } from '../nn/dropout.js'
import { within } from '../nn/lengths.js'
import { lossesOf } from '../nn/loss-use.js'
import { outputOf } from '../nn/output.js'
import { withBindings } from '../nn/parameter.js'
import { inEvalMode } from '../nn/predictor.js'
import { type BatchPart, withBatchPart } from '../nn/ranks.js'
import type { PlanOptions, PlanSpec } from '../plan/plan.js'
import type { Recorder } from '../plan/record.js'
import { add, div, equal, maximum, minimum, mul, sqrt, square, sub } from '../primitives/elementwise.js'
import { gather } from '../primitives/indexing.js'
import { cast, reshape } from '../primitives/movement.js'
import { pad, slice } from '../primitives/parts.js'
import { sum } from '../primitives/reduce.js'
import { withScope } from '../primitives/scope.js'
import type { Inputs as InputTree } from '../tensor/inputs.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Shape } from '../util/shape.js'
import type { Chunk, Cut } from './cut.js'
import type { InputName, Inputs, InputTable, Rows } from './inputs.js'
import { Meeting } from './meeting.js'
import { lossName } from './metric-context.js'
import { metricsOfBatch } from './metrics.js'
import { type Clipping, healthEntries, knownShare, reported, type Share, type StepParts, shareOf, type Whole } from './parts.js'
import type { ParameterSlots } from './training-state.js'

/** The program of a cut. `samples` are in the arrays that it gathers from; `whole` is what its chunks make up. */
export function updateProgram(
  parts: StepParts,
  table: InputTable,
  cut: Cut,
  { samples, whole, report, masked }: { samples: number; whole?: Whole | undefined; report: number; masked: boolean },
): PlanSpec {
  const { kind, rows } = cut
  // Where a process has no rows it computes one that counts nothing.
  const data: Rows = kind === 'gathered' ? { rows: samples } : { rows: Math.max(1, rows), advance: rows }
  const scalars = parts.optimizer.scalarCount * parts.state.groups.length
  const seen: Partial<Record<InputName, Rows>> = {
    ...(kind !== 'accumulated' && {
      ...table.rowsOf('x', data),
      y: data,
      weights: data,
      draws: { rows: counterLength, advance: counterLength },
    }),
    ...(kind === 'gathered' && { order: { rows, advance: rows } }),
    ...(kind !== 'chunk' && { hyperparameters: { rows: scalars, advance: parts.steady ? 0 : scalars } }),
  }
  return {
    inputs: table.specs(seen),
    options: { dtype: parts.dtype, report, ...(kind === 'accumulated' && { atomic: false }) },
    build: (r) => recordUpdate(r, (name) => r.input(table.at(name)), parts, cut, table, { whole, masked }),
  }
}

/** The one builder of updates. */
function recordUpdate(
  r: Recorder,
  input: Inputs,
  parts: StepParts,
  cut: Cut,
  table: InputTable,
  { whole, masked }: { whole: Whole | undefined; masked: boolean },
): void {
  const { kind } = cut
  const m = Math.max(1, cut.rows)
  const { atOnce = m } = cut
  const trained = parts.state.parameters.filter((p) => p.trained)
  const meeting = parts.ranks && new Meeting(parts, parts.ranks, cut)
  if (kind === 'accumulated') {
    const sums = trained.map(({ gradient }) => r.state(gradient))
    applyOptimizer(r, parts, meeting?.gradients(sums) ?? sums, input('hyperparameters'))
    return
  }
  const order = kind === 'gathered' ? input('order') : undefined
  const rowsOf = (name: InputName, range?: readonly [number, number]): Tensor => {
    if (order) return gather(input(name), range ? slice(order, range) : order)
    return range ? slice(input(name), range) : input(name)
  }
  const take = (name: InputName, range?: readonly [number, number]): Tensor => {
    const rows = rowsOf(name, range)
    return cut.trim?.of.includes(name) ? slice(rows, null, [0, cut.trim.steps]) : rows
  }
  const counter = table.has('draws') ? input('draws') : undefined
  const weightsOf = (range?: readonly [number, number]) =>
    stepWeights(parts, masked, {
      weights: () => (table.has('weights') ? take('weights', range) : undefined),
      lengths: () => take('x.lengths', range),
      y: () => take('y', range),
    })
  const weights = meeting ? undefined : weightsOf()
  const all = meeting ? undefined : kind === 'chunk' ? knownShare(whole as Whole, weights) : shareOf(parts, m, () => take('y'), weights)
  let made: Gradients | undefined
  for (let first = 0; first < m; first += atOnce) {
    const last = Math.min(m, first + atOnce)
    const part = meeting?.part(first, last)
    const range = part?.range ?? (atOnce < m ? ([first, last] as const) : undefined)
    const y = take('y', range)
    const own = meeting && weightsOf(range)
    const share = all
      ? range && all.weights
        ? { ...all, weights: slice(all.weights, range) }
        : all
      : (meeting as Meeting).share(y, own, whole)
    const x = table.treeOf('x', (name) => take(name, range))
    const next = differentiate(r, parts, x, y, share, { counter, first: range?.[0] ?? cut.shard?.start ?? 0, held: made?.held, part })
    if (meeting) meeting.add(next, y, share, (part as BatchPart).live)
    else reportAll(r, parts, 0, next.losses, next.prediction, y, share.weights)
    const before: readonly Tensor[] | undefined = made?.gradients
    made = before ? { ...next, gradients: next.gradients.map((g, i) => add(before[i] as Tensor, g)) } : next
  }
  const { held, gradients: own } = made as Gradients
  // The assignments that the forward function made to buffers.
  const assigned = untrained(parts).flatMap(({ slot }, i) => (held[i] === r.state(slot) ? [] : [{ slot, value: held[i] as Tensor }]))
  const met = meeting?.meet(
    kind === 'chunk' ? [] : own,
    assigned.map(({ value }) => value),
  )
  met?.numbers.forEach((sum, entry) => {
    r.report(entry, sum)
  })
  assigned.forEach(({ slot, value }, i) => {
    r.assign(slot, met?.buffers[i] ?? value)
  })
  if (kind === 'chunk') {
    trained.forEach(({ gradient }, i) => {
      const g = own[i] as Tensor
      r.assign(gradient, cut.first ? g : add(r.state(gradient), g))
    })
  } else applyOptimizer(r, parts, met?.gradients ?? own, input('hyperparameters'))
}

/** What a program reads to say how much each sample, or each of its steps, counts. */
interface CountingInputs {
  weights(): Tensor | undefined
  lengths(): Tensor
  y(): Tensor
}

/** The weights of samples [m], or of their steps [m, T], 0 behind a sequence's end; undefined where all count alike. */
function stepWeights({ dtype }: StepParts, masked: boolean, of: CountingInputs): Tensor | undefined {
  const weights = of.weights()
  if (!masked) return weights
  const lengths = cast(of.lengths(), 'int32')
  const counted = cast(within(lengths, of.y().shape[1] as number), dtype)
  return weights ? mul(counted, weights.rank > 1 ? weights : reshape(weights, [weights.size, 1])) : counted
}

function reportAll(
  r: Recorder,
  parts: StepParts,
  first: number,
  losses: Tensor,
  prediction: Tensor,
  target: Tensor,
  weights: Tensor | undefined,
): void {
  r.report(first, losses)
  metricsOfBatch(parts.metrics, parts.loss, prediction, target, weights).forEach((values, i) => {
    r.report(first + 1 + i, values)
  })
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
  held: readonly Tensor[] | undefined
  /** Where the batch is a part of one that several processes have. */
  part: BatchPart | undefined
}

const untrained = (parts: StepParts): ParameterSlots[] => parts.state.parameters.filter((p) => !p.trained)

/** Forward and backward of a batch; the gradient is of its part of the update's cost. */
function differentiate(r: Recorder, parts: StepParts, x: InputTree, y: Tensor, share: Share, place: Place): Gradients {
  const { state, model, loss } = parts
  const trained = state.parameters.filter((p) => p.trained)
  const frozen = untrained(parts)
  const at = (list: readonly ParameterSlots[]) => list.map(({ slot }) => r.state(slot))
  const cost = (weights: Tensor[]): [Tensor, Omit<Gradients, 'gradients'>] =>
    withBindings(
      [...trained, ...frozen].map((p) => p.parameter),
      [...weights, ...(place.held ?? at(frozen))],
      () => {
        const [prediction, losses] = withDraws(place.counter, place.first, () => {
          const output = withBatchPart(place.part, () => outputOf(model, x))
          return [output, withScope(lossName(loss), () => lossesOf(loss, output, y, share.weights))]
        })
        const held = frozen.map(({ parameter }) => parameter.resolve())
        const own = mul(sum(losses), share.factor)
        return [place.part?.live === false ? mul(own, 0) : own, { losses: reported(losses, share), prediction, held }]
      },
      model,
    )
  if (trained.length === 0) {
    const [, aux] = cost([])
    return { ...aux, gradients: [] }
  }
  const [[, aux], gradients] = valueAndGrad(cost, { hasAux: true })(at(trained))
  return { ...aux, gradients }
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
function applyOptimizer(r: Recorder, parts: StepParts, unbounded: readonly Tensor[], hyperparameters: Tensor): void {
  const { optimizer, state } = parts
  const gradients = clipped(unbounded, parts.clip ?? {})
  const { scalarCount } = optimizer
  const scalars = state.groups.map((_, group) =>
    Array.from({ length: scalarCount }, (_, i) =>
      hyperparameters.size === 1 ? reshape(hyperparameters, []) : slice(hyperparameters, group * scalarCount + i),
    ),
  )
  state.parameters
    .filter((p) => p.trained)
    .forEach((entry, i) => {
      const result = optimizer.update(
        r.state(entry.slot),
        gradients[i] as Tensor,
        entry.optimizer.map((slot) => r.state(slot)),
        scalars[entry.group] as Tensor[],
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

/** Predictions of sequences that were cut as those of whole ones: 0 for what was cut off. */
function wholeSequences(prediction: Tensor, row: Shape): Tensor {
  const missing = row.map((n, i) => [0, n - (prediction.shape[i + 1] as number)] as const)
  return missing.every(([, n]) => n === 0) ? prediction : pad(prediction, [[0, 0], ...missing])
}

/** Brings the sums of an epoch's earlier part back into the report, so that the whole adds up as if it had never been cut. */
export function carryProgram(table: InputTable, entries: number): PlanSpec {
  return {
    inputs: table.specs({ carry: { rows: entries } }),
    options: { dtype: 'float64', report: entries, atomic: false },
    build: (r) => {
      for (let i = 0; i < entries; i++) r.report(i, slice(r.input(table.at('carry')), i))
    },
  }
}

/** Cost and metrics of so many validation samples, as in use, and their predictions where the table has them. `entry` is the report's; chunks share one cost. */
export function evaluationProgram(
  parts: StepParts,
  table: InputTable,
  { rows, trim }: Pick<Chunk, 'rows' | 'trim'>,
  { whole, entry, report, masked, samples }: { whole: Whole; entry: number; report: number; masked: boolean; samples: number },
): PlanSpec {
  const next: Rows = { rows, advance: rows }
  const sorted = table.has('validation order')
  const data = sorted ? { rows: samples } : next
  const options: PlanOptions = { dtype: parts.dtype, report, atomic: false }
  const inputs = table.specs({
    ...table.rowsOf('validation x', data),
    'validation y': data,
    'validation weights': data,
    'validation order': next,
    predictions: next,
  })
  const build = (r: Recorder) => {
    const input: Inputs = (name) => {
      const given = r.input(table.at(name))
      const taken = sorted ? gather(given, r.input(table.at('validation order'))) : given
      return trim?.of.includes(name.slice('validation '.length) as InputName) ? slice(taken, null, [0, trim.steps]) : taken
    }
    const weights = stepWeights(parts, masked, {
      weights: () => (table.has('validation weights') ? input('validation weights') : undefined),
      lengths: () => input('validation x.lengths'),
      y: () => input('validation y'),
    })
    const share = knownShare(whole, weights)
    const x = table.treeOf('validation x', input)
    const y = input('validation y')
    const all = parts.state.parameters
    inEvalMode(parts.model, () =>
      withBindings(
        all.map((p) => p.parameter),
        all.map((p) => r.state(p.slot)),
        () => {
          const prediction = outputOf(parts.model, x)
          const losses = lossesOf(parts.loss, prediction, y, weights)
          reportAll(r, parts, entry, reported(losses, share), prediction, y, weights)
          if (table.has('predictions'))
            r.output(table.at('predictions'), wholeSequences(prediction, table.columns.predictions?.row as Shape))
        },
        parts.model,
      ),
    )
  }
  return { inputs, options, build }
}
