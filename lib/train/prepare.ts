/** Data made ready for a model and its loss: everything that can be refused is refused here, before anything is changed. */

import { checkFinite } from '../data/checks.js'
import { checkData, converted, Dataset, refuseNoWeight } from '../data/dataset.js'
import { refuseAlone } from '../distributed/shard.js'
import { together } from '../distributed/world.js'
import { WengertError } from '../errors.js'
import { checkLengths } from '../nn/lengths.js'
import { checkLabels, checkProbabilities, checkSigns, type Loss, type OutputKind } from '../nn/loss-contract.js'
import { outputsOf } from '../nn/loss-outputs.js'
import { type FieldForm, type Meaning, meaningOf } from '../nn/meaning.js'
import { ones } from '../tensor/creation.js'
import {
  checkNames,
  fieldName,
  fieldTensor,
  formatFields,
  type Inputs,
  mapInputs,
  sameFields,
  specsOf,
  tensorsOf,
} from '../tensor/inputs.js'
import { emptyTensor, Tensor } from '../tensor/tensor.js'
import { allocateShared, type Dtype, type FloatDtype, isFloat } from '../util/dtype.js'
import { formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import { countsSteps, stepsAsSamples } from './counting.js'
import type { SampleSpec } from './parts.js'
import type { Signature, Signatures } from './signature.js'

/** x in the model's type, fields of integers and truth values in their own, y as the loss takes it, one row a sample. */
export interface Prepared {
  readonly x: Inputs
  readonly y: Tensor
  /** How much each sample counts, [m], or each of its steps, [m, T], 1 in the mean; none where all count alike. */
  readonly weights?: Tensor
  /** Whether only the steps within `lengths` of x count: targets are one a step of the sequences. */
  readonly masked: boolean
  readonly samples: number
  /** The shape of the model's output for one sample. */
  readonly output: Shape
  /** Where the rows here are those of one process: `samples` are all processes'. */
  readonly shard?: PreparedShard
}

/** What a process knows of a set of which it holds a part. Until the processes have met (`shards.ts`), of its own part alone. */
export interface PreparedShard {
  /** The whole's row that comes first here. */
  readonly start: number
  /** How many there are here: where there are none, the arrays hold one that counts nothing. */
  readonly rows: number
  /** Where the rows of each rank begin, and the total at the end. */
  readonly starts: readonly number[]
  /** What the mean loss over all samples divides by. */
  readonly totalWeight: number
  readonly fingerprint?: string
  /** Of all rows, where they were asked for. */
  readonly y?: Tensor
  readonly lengths?: Tensor
  readonly weights?: Tensor
}

/** How many rows the arrays hold. */
export const rowsHere = ({ y }: Prepared): number => y.shape[0] as number

export const sampleOf = ({ x, y, weights, masked }: Prepared): SampleSpec => ({
  x: specsOf(x, { sample: true }),
  y: y.shape.slice(1),
  yDtype: y.dtype,
  weighted: weights !== undefined && (weights.rank > 1 ? 'steps' : 'samples'),
  masked,
})

/** What the mean loss over all samples divides by: the sum of their weights times those that the loss puts on their targets. */
export const totalWeightOf = (data: Prepared, loss: Loss, dtype: FloatDtype): number =>
  data.shard?.totalWeight ?? ownWeightOf(data, loss, dtype)

/** As far as the rows here make it up. */
export function ownWeightOf(data: Prepared, loss: Loss, dtype: FloatDtype): number {
  const { x, y, weights, masked, shard } = data
  const samples = shard?.rows ?? data.samples
  if (samples === 0) return 0
  if (countsSteps(sampleOf(data))) {
    const own = loss.weightsOf?.(stepsAsSamples(y), dtype)
    const steps = y.shape[1] as number
    const lengths = masked ? lengthsOf(x) : undefined
    let sum = 0
    for (let i = 0; i < samples * steps; i++) {
      const sample = Math.floor(i / steps)
      if (lengths && i % steps >= (lengths.data[sample] as number)) continue
      sum += ((own?.data[i] as number | undefined) ?? 1) * ((weights?.data[weights.rank > 1 ? i : sample] as number | undefined) ?? 1)
    }
    return sum
  }
  const own = loss.weightsOf?.(y, dtype)
  if (!own) return weights ? sumOf(weights.data) : samples
  return sumOf(Array.from(own.data, (w, i) => w * ((weights?.data[i] as number | undefined) ?? 1)))
}

/** The lengths of sequences in x. */
export const lengthsOf = (x: Inputs): Tensor | undefined => tensorsOf(x).find(([name]) => name === 'lengths')?.[1]

const sumOf = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] as number
  return sum
}

/**
 * The weights with a mean of 1, which changes no weighted mean and keeps their sums within the type. Errors: ERR_DATA where all are 0.
 *
 * @param range of the rows that are wanted; all by default
 */
export function normalized(
  where: string,
  weights: Tensor,
  dtype: FloatDtype,
  range: readonly [number, number] = [0, weights.shape[0] as number],
): Tensor {
  refuseNoWeight(where, weights)
  const { data, size, shape } = weights
  const largest = data.reduce((a, b) => Math.max(a, b), 0)
  let sum = 0
  for (let i = 0; i < size; i++) sum += (data[i] as number) / largest
  const [from, to] = range
  const each = shape[0] ? size / shape[0] : 0
  const out = allocateShared(dtype, (to - from) * each)
  for (let i = 0; i < out.length; i++) out[i] = ((data[from * each + i] as number) / largest) * (size / sum)
  return new Tensor([to - from, ...shape.slice(1)], dtype, out)
}

/** Errors: ERR_SHAPE for validation samples that are unlike the training ones. */
export function checkAlike(set: Prepared, validation: Prepared): void {
  const [a, b] = [sampleOf(set), sampleOf(validation)]
  if (sameFields(a.x, b.x) && sameShape(a.y, b.y) && a.yDtype === b.yDtype) return
  throw new WengertError(
    'ERR_SHAPE',
    `fit: expected validation samples like the training ones, ${formatFields(a.x)} and ${a.yDtype} ${formatShape(a.y)}, got ${formatFields(b.x)} and ${b.yDtype} ${formatShape(b.y)}`,
    {
      expected: a,
      actual: b,
    },
  )
}

/** Both with weights or both without: the programs of a fit have one list of inputs. */
export function alikeWeighted(set: Prepared, validation: Prepared): [set: Prepared, validation: Prepared] {
  const both = [set, validation].flatMap(({ weights }) => weights ?? [])
  const given = both.find(({ rank }) => rank > 1) ?? both[0]
  if (!given) return [set, validation]
  const full = (data: Prepared): Prepared => {
    const own = data.weights ?? ones([rowsHere(data)], { dtype: given.dtype })
    if (own.rank === given.rank) return { ...data, weights: own }
    const steps = given.shape[1] as number
    const out = allocateShared(given.dtype as FloatDtype, rowsHere(data) * steps)
    for (let i = 0; i < out.length; i++) out[i] = own.data[Math.floor(i / steps)] as number
    return { ...data, weights: new Tensor([rowsHere(data), steps], given.dtype, out) }
  }
  return [full(set), full(validation)]
}

/** In the model's type. Errors: ERR_DATA for a number that it cannot hold. */
function fitting(where: string, name: string, values: Tensor, dtype: FloatDtype, keepIntegers = false): Tensor {
  const t = converted(values, dtype, keepIntegers)
  if (t !== values) checkFinite(where, name, t)
  return t
}

/** From here on a prediction knows one sample from a batch, and what the fields are. */
function note(meaning: Meaning, x: Inputs): void {
  const forms = x instanceof Tensor ? undefined : tensorsOf(x).map(([name, { rank, dtype }]) => ({ name, rank: rank - 1, dtype }))
  // Predictions are kept for what is known: the same again is no news.
  const same = forms?.length === meaning.fields?.length && forms?.every((form, i) => sameForm(form, meaning.fields?.[i] as FieldForm))
  if (!same) meaning.fields = forms
  meaning.sample = x instanceof Tensor ? x.rank - 1 : undefined
}

const sameForm = (a: FieldForm, b: FieldForm): boolean => a.name === b.name && a.rank === b.rank && a.dtype === b.dtype

/** One of several inputs. Errors: ERR_DATA for a number that its type cannot hold; ERR_DTYPE. */
function field(where: string, name: string, values: Tensor, dtype: FloatDtype, wanted?: Dtype): Tensor {
  const t = fieldTensor(`${where}: ${fieldName(name)}`, values, dtype, wanted)
  if (t !== values) checkFinite(where, fieldName(name), t)
  return t
}

let warned = false

/** Says once that a data set holds less than the model could take: its numbers were rounded when it was made. */
function warnOfDigits(where: string, tensors: readonly Tensor[]): void {
  if (warned || tensors.every((t) => t.dtype !== 'float32')) return
  warned = true
  process.emitWarning(
    `${where}: the model is float64, but the data set holds float32: its numbers were rounded to about 7 digits when it was made. Make it with { dtype: 'float64' } (new Dataset, readCsv, Dataset.fromRecords) to keep all of them`,
    { type: 'WengertPrecision' },
  )
}

/** Class labels, one a sample or, of outputs [T, classes], one a step. Errors: ERR_SHAPE, ERR_LABEL. */
function labelsFor(where: string, y: Tensor, samples: number, output: Shape, ignoreIndex: number | undefined): Tensor {
  if (output.length < 2) return checkLabels(where, y, samples, output[0] ?? 1, ignoreIndex)
  const shape = [samples, ...output.slice(0, -1)]
  if (!sameShape(y.shape, shape))
    throw new WengertError(
      'ERR_SHAPE',
      `${where}: expected one label a step, ${formatShape(shape)}, for outputs ${formatShape([samples, ...output])}, got ${formatShape(y.shape)}`,
      { expected: shape, actual: y.shape },
    )
  return checkLabels(where, y.reshape([y.size]), y.size, output[output.length - 1] as number, ignoreIndex).reshape(shape)
}

/**
 * Whether only the steps within `lengths` count: x has them, and outputs and targets are one a step of the sequences. That an axis is as
 * long may be chance, so the model is asked what it makes of fewer steps.
 *
 * @param given whether weights say which steps count
 * @throws ERR_OPTION for a model that cannot tell
 */
function lengthsMask(where: string, signature: Signature, x: Inputs, y: Tensor, output: Shape, given: boolean): boolean {
  const lengths = lengthsOf(x)
  const steps = y.shape[1]
  if (lengths?.rank !== 1 || steps === undefined || steps < 2 || output[0] !== steps) return false
  const fields = tensorsOf(x)
  const long = (name: string, t: Tensor) => name !== 'lengths' && t.rank > 1 && t.shape[1] === steps
  if (!fields.some(([name, t]) => long(name, t))) return false
  const checked = checkLengths(`${where}: lengths`, lengths, y.shape[0] as number, steps)
  try {
    const shorter = signature.outputOf(
      mapInputs(x, (t, name) => {
        const axes = long(name, t) ? t.shape.map((n, i) => (i > 0 && n === steps && (i === 1 || name !== 'x') ? n - 1 : n)) : t.shape
        return emptyTensor(axes, t.dtype)
      }),
    )
    return shorter[0] === steps - 1
  } catch (error) {
    if (!(error instanceof WengertError)) throw error
    if (given || checked.data.every((n) => n === steps)) return false
    throw new WengertError(
      'ERR_OPTION',
      `${where}: cannot tell whether targets ${formatShape(y.shape)} are one a step of the sequences, since the model takes no other number of steps (${error.message}): give weights ${formatShape([y.shape[0] as number, steps])} that say how much each step counts, 0 for padding`,
      { cause: error },
    )
  }
}

/** Targets with something harmless where nothing counts: what stands there need not be a target. */
function settled(y: Tensor, { targets }: Loss, lengths: Tensor | undefined, weights: Tensor | undefined): Tensor {
  const [m, steps] = y.shape as [number, number]
  const width = y.size / (m * steps)
  const harmless = targets === 'signs' ? 1 : 0
  let out: Tensor | undefined
  for (let i = 0; i < m * steps; i++) {
    const inside = lengths === undefined || i % steps < (lengths.data[Math.floor(i / steps)] as number)
    if (inside && !(weights && weights.rank > 1 && weights.data[i] === 0)) continue
    for (let j = i * width; j < (i + 1) * width; j++) {
      if (y.data[j] === harmless) continue
      out ??= copyOf(y)
      out.data[j] = harmless
    }
  }
  return out ?? y
}

function copyOf(x: Tensor): Tensor {
  const data = allocateShared(x.dtype, x.size)
  data.set(x.data)
  return new Tensor(x.shape, x.dtype, data)
}

export class Preparation {
  constructor(
    readonly signatures: Signatures,
    readonly loss: Loss,
  ) {}

  /** Errors: ERR_DATA, ERR_VALUE, ERR_LABEL (with the sample), ERR_RANGE, ERR_SHAPE, ERR_DETACHED. */
  prepare(where: string, data: unknown): Prepared {
    const signature = this.signatures.now()
    const { dtype, model } = signature
    const { x: rawX, y: rawY, weights: rawWeights } = checkData(where, data, dtype)
    if (dtype === 'float64' && data instanceof Dataset) warnOfDigits(where, [...tensorsOf(rawX).map(([, t]) => t), rawY])
    const meaning = meaningOf(model)
    const x = this.#inputs(where, rawX, dtype, meaning)
    const part = data instanceof Dataset ? data.shard : undefined
    const samples = rawY.shape[0] as number
    refuseAlone(where, part, samples)
    // Those of a shard when all are known. A step's are beside other processes': none knows all.
    const beside = together() && (where === 'step' || where === 'fitStream')
    const own = (t: Tensor): Tensor => (part ? t : beside ? converted(t, dtype) : normalized(where, t, dtype))
    const weights = rawWeights && { weights: own(rawWeights) }
    const shard = part && { shard: { start: part.start, rows: samples, starts: [], totalWeight: Number.NaN } }
    const made = (y: Tensor): Prepared => ({ x, y, samples: part?.total ?? samples, output, masked, ...weights, ...shard })
    const { targets } = this.loss
    const output = signature.outputOf(x)
    const steps = weights && weights.weights.rank > 1
    const masked = lengthsMask(where, signature, x, rawY, output, steps === true)
    const y0 = masked || steps ? settled(rawY, this.loss, masked ? lengthsOf(x) : undefined, weights?.weights) : rawY
    note(meaning, x)
    if (where !== 'evaluate') meaning.outputs = this.#outputsOf(sizeOf(output))
    const distribution = isFloat(y0.dtype) && y0.rank === 2 && sameShape(y0.shape.slice(1), output) && (output[0] as number) > 1
    if (targets === 'classes' && !distribution) return made(labelsFor(where, y0, samples, output, this.loss.ignoreIndex))
    const given = fitting(where, 'y', y0, dtype, targets === undefined)
    // One number for the one output of one sample, as streams bring it, can only mean [1, 1].
    const single = targets !== undefined && samples === 1 && given.rank === 1 && sameShape(output, [1])
    const y = single ? given.reshape([1, 1]) : given
    if (targets === 'classes' || targets === 'probabilities') checkProbabilities(where, 'target', y)
    if (targets === 'signs') checkSigns(where, y)
    if (targets !== undefined && !sameShape(output, y.shape.slice(1))) {
      const expected = [samples, ...output]
      throw new WengertError(
        'ERR_SHAPE',
        `${where}: expected targets of shape ${formatShape(expected)}, as the model's outputs, got ${formatShape(y.shape)}`,
        { expected, actual: y.shape },
      )
    }
    return made(y)
  }

  /** x as the model takes it: a fit says what the fields are, all else has to be like it. Errors: ERR_DATA, ERR_DTYPE. */
  #inputs(where: string, x: Inputs, dtype: FloatDtype, { fields }: Meaning): Inputs {
    if (where === 'fit' || !fields) {
      if (x instanceof Tensor) return fitting(where, 'x', x, dtype)
      return mapInputs(x, (t, name) => field(where, name, t, dtype))
    }
    checkNames(
      where,
      fields.map(({ name }) => name),
      tensorsOf(x).map(([name]) => name),
    )
    const wanted = new Map(fields.map((form) => [form.name, form.dtype]))
    return mapInputs(x, (t, name) => field(where, name, t, dtype, wanted.get(name)))
  }

  /** What so many outputs mean; a loss of one's own may not tell. */
  #outputsOf(count: number): OutputKind | 'unknown' {
    return (this.loss.targets === undefined ? this.loss.outputs : outputsOf(this.loss, count)) ?? 'unknown'
  }
}
