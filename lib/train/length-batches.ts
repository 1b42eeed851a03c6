/** Batches of sequences of like lengths: what is cut of a data set { x, lengths, … }, and what a model must be like for that. */

import { LengthBuckets } from '../data/length-buckets.js'
import { WengertError } from '../errors.js'
import { counterLength, withDraws } from '../nn/dropout.js'
import { checkLengths } from '../nn/lengths.js'
import { outputOf } from '../nn/output.js'
import { withBindings } from '../nn/parameter.js'
import { inEvalMode } from '../nn/predictor.js'
import { slice } from '../primitives/parts.js'
import { fieldName, type Inputs, mapInputs, tensorsOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared } from '../util/dtype.js'
import { formatShape, type Shape, sameShape } from '../util/shape.js'
import type { Chunk, Cut } from './cut.js'
import type { Batching, Evaluating } from './fit-plan.js'
import type { InputName } from './inputs.js'
import type { StepParts } from './parts.js'
import type { Turn } from './position.js'
import { type Prepared, rowsHere } from './prepare.js'

/** Buckets where a trainer is not told how many: each is a program. */
const usual = 8

const where = 'MBSGD: bucketByLength'

const refuse = (text: string, actual?: unknown, cause?: unknown): WengertError =>
  new WengertError('ERR_OPTION', `${where} ${text}`, { actual, ...(cause === undefined ? {} : { cause }) })

/** How batches are cut: `size` samples an update, `atOnce` of them at a time. */
interface Sizes {
  readonly size: number
  readonly atOnce: number
  readonly dropLast: boolean
}

/**
 * Batches in which lengths are alike, each cut to the steps of its bucket.
 *
 * @param most buckets; true for the usual number
 * @throws ERR_OPTION for data without lengths, and where shorter batches would have another cost
 */
export function lengthBatches(set: Prepared, parts: StepParts, most: number | true, { size, atOnce, dropLast }: Sizes): Batching {
  const { samples } = set
  const { lengths, own, steps, fields } = sequencesOf(set)
  const rows = Math.min(size, samples)
  const chosen = new LengthBuckets(lengths, rows, most === true ? usual : most, { restCounts: !dropLast })
  const { buckets, turns, rest } = chosen
  const [shortest] = buckets
  const of = shortest && shortest.steps < steps ? trimmedOf(set, parts, { lengths, own, steps, fields }, shortest.steps) : fields
  const cut = (bucket: number, n: number, repeat: number): Cut => {
    const trim = { steps: (buckets[bucket] as { steps: number }).steps, of }
    return { kind: 'gathered', rows: n, repeat, atOnce: Math.min(n, atOnce), ...(trim.steps < steps && { trim }) }
  }
  const full = buckets
    .map(({ batches }, bucket) => ({ bucket, cut: cut(bucket, rows, batches) }))
    .filter(({ cut: { repeat } }) => repeat > 0)
  const last = rest > 0 && !dropLast ? [cut(0, rest, 1)] : []
  const order: Turn[] = []
  for (const bucket of turns) {
    const program = full.findIndex((one) => one.bucket === bucket)
    const before = order[order.length - 1]
    if (before?.program === program) order[order.length - 1] = { program, repeat: before.repeat + 1 }
    else order.push({ program, repeat: 1 })
  }
  return {
    cuts: [...full.map((one) => one.cut), ...last],
    turns: [...order, ...last.map(() => ({ program: full.length, repeat: 1 }))],
    ordered: `by length ${buckets.map((one) => `${one.batches}×${one.steps}`).join(' ')}`,
    order: (out, seed, epoch) => chosen.order(out, seed, epoch),
  }
}

/** A set by length, each part cut to the steps of its longest; undefined for one that cannot be cut. */
export function lengthEvaluation(set: Prepared, parts: StepParts, most: number | true, size: number): Evaluating | undefined {
  const { samples } = set
  try {
    const { own: lengths, steps, fields } = sequencesOf(set)
    const rows = Math.min(size, samples)
    const { buckets, rest } = new LengthBuckets(lengths, rows, most === true ? usual : most)
    const [shortest] = buckets
    if (!shortest || shortest.steps >= steps) return undefined
    const of = trimmedOf(set, parts, { lengths, own: lengths, steps, fields }, shortest.steps)
    const chunk = (n: number, repeat: number, kept: number): Chunk => ({
      rows: n,
      repeat,
      ...(kept < steps && { trim: { steps: kept, of } }),
    })
    const chunks = [chunk(rest, rest > 0 ? 1 : 0, shortest.steps), ...buckets.map((bucket) => chunk(rows, bucket.batches, bucket.steps))]
    const order = Int32Array.from({ length: samples }, (_, i) => i)
    order.sort((a, b) => (lengths[a] as number) - (lengths[b] as number) || a - b)
    return { chunks: chunks.filter(({ repeat }) => repeat > 0), order: allocateSharedOrder(order) }
  } catch (error) {
    // Without lengths, or of a model that padding matters to: it is evaluated as it stands.
    if (error instanceof WengertError && error.code === 'ERR_OPTION') return undefined
    throw error
  }
}

function allocateSharedOrder(order: Int32Array): Int32Array {
  const out = allocateShared('int32', order.length) as Int32Array
  out.set(order)
  return out
}

interface Sequences {
  /** Of all samples. */
  readonly lengths: ArrayLike<number>
  /** Of those that are here. */
  readonly own: ArrayLike<number>
  /** Of all of x, with what is padding in every sample. */
  readonly steps: number
  /** The inputs that have steps. */
  readonly fields: readonly InputName[]
}

/** Errors: ERR_OPTION for data of another form; ERR_RANGE for lengths outside 1 … T. */
function sequencesOf(set: Prepared): Sequences {
  const { x: inputs, samples, shard } = set
  const fields = tensorsOf(inputs)
  const find = (wanted: string) => fields.find(([name]) => name === wanted)?.[1]
  const [x, lengths] = [find('x'), find('lengths')]
  if (!x || x.rank < 2 || !lengths) {
    const got = inputs instanceof Tensor ? 'one tensor' : `fields ${fields.map(([name]) => name).join(', ')}`
    throw refuse(`needs to know how long each sequence is: expected x to be { x, lengths }, as padSequences makes it, got ${got}`)
  }
  const steps = x.shape[1] as number
  const withSteps = fields.filter(([name, t]) => name !== 'lengths' && t.rank > 1 && t.shape[1] === steps)
  const square = withSteps.find(([name, t]) => name !== 'x' && t.shape[2] === steps)
  if (square)
    throw refuse(
      `cannot tell which axes of ${fieldName(square[0])}, ${formatShape(square[1].shape)}, are steps: make what is as wide as long in the model, from the lengths`,
      square[1].shape,
    )
  const own = checkLengths('fit: lengths', lengths, rowsHere(set), steps).data
  return {
    lengths: shard?.lengths ? checkLengths('fit: lengths', shard.lengths, samples, steps).data : own,
    own,
    steps,
    fields: withSteps.map(([name]) => fieldName(name) as InputName),
  }
}

/**
 * What is cut: the inputs that have steps, and targets of one a step.
 *
 * @param shortest the steps of the shortest bucket
 */
function trimmedOf(set: Prepared, parts: StepParts, sequences: Sequences, shortest: number): readonly InputName[] {
  const { steps, fields } = sequences
  const short = shortenedOutput(set, parts, sequences, shortest)
  const { output: long, y } = set
  refusePadding(set, parts, sequences, shortest)
  if (sameShape(short, long)) return fields
  if (long[0] !== steps || !sameShape(short, [shortest, ...long.slice(1)]))
    throw refuse(
      `cannot tell what the model's outputs are of shorter sequences: ${formatShape(long)} of ${steps} steps, ${formatShape(short)} of ${shortest}`,
      short,
    )
  if (!set.masked)
    throw refuse(`cannot tell which of the targets ${formatShape(y.shape)} are of padding: expected one a step of the sequences`, y.shape)
  return [...fields, 'y', ...(set.weights && set.weights.rank > 1 ? (['weights'] as const) : [])]
}

/** The given rows and steps of the fields that have them. */
const part = (x: Inputs, fields: readonly InputName[], row: number, steps: number): Inputs =>
  mapInputs(x, (t, name) => {
    const one = slice(t, [row, row + 1])
    return fields.includes(fieldName(name) as InputName) ? slice(one, null, [0, steps]) : one
  })

/** The shape of one sample's output of so many steps. Errors: ERR_OPTION for a model that refuses them. */
function shortenedOutput({ x }: Prepared, { signature }: StepParts, { fields, steps }: Sequences, shortest: number): Shape {
  try {
    return signature.outputOf(part(x, fields, 0, shortest))
  } catch (error) {
    if (!(error instanceof WengertError)) throw error
    throw refuse(`gives the model ${shortest} of ${steps} steps, which it does not take: ${error.message}`, shortest, error)
  }
}

/** Tries the model, as in use, on a shortest sequence with all of its padding and with little. Errors: ERR_OPTION where that makes a difference. */
function refusePadding(
  { x, output }: Prepared,
  { model, state, signature, dtype }: StepParts,
  { own: lengths, steps, fields }: Sequences,
  shortest: number,
): void {
  let sample = 0
  for (let i = 1; i < lengths.length; i++) if ((lengths[i] as number) < (lengths[sample] as number)) sample = i
  // The whole's shortest sequences are other processes'.
  if ((lengths[sample] as number) > shortest) return
  const counter = new Tensor([counterLength], 'int32', new Int32Array(counterLength))
  const parameters = state.parameters.map(({ parameter }) => parameter)
  const values = parameters.map((p) => new Tensor(p.shape, p.dtype, p.peek()))
  const run = (n: number) =>
    signature.around(() =>
      withBindings(
        parameters,
        values,
        () => withDraws(counter, 0, () => inEvalMode(model, () => outputOf(model, part(x, fields, sample, n)))),
        model,
      ),
    )
  const [all, few] = [run(steps).data, run(shortest).data]
  const perStep = output[0] === steps && few.length < all.length
  const compared = perStep ? ((lengths[sample] as number) * all.length) / steps : all.length
  let largest = 0
  for (let i = 0; i < compared; i++) largest = Math.max(largest, Math.abs(all[i] as number))
  for (let i = 0; i < compared; i++) {
    const difference = Math.abs((all[i] as number) - (few[i] as number))
    if (difference > (dtype === 'float64' ? 1e-8 : 1e-3) * Math.max(largest, 1e-3))
      throw refuse(
        `would change what the model makes of a sequence: its output for sample ${sample} differs by ${difference.toPrecision(3)} between ${steps} and ${shortest} steps, of which ${lengths[sample]} count. Its layers have to leave padding out by the lengths`,
        difference,
      )
  }
}
