/** Data made ready for a model and its loss: everything that can be refused is refused here, before anything is changed. */

import { checkFinite } from '../data/checks.js'
import { checkData, converted, Dataset, refuseNoWeight } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import { checkLabels, checkProbabilities, checkSigns, type Loss, type OutputKind } from '../nn/loss-contract.js'
import { outputsOf } from '../nn/loss-outputs.js'
import { type FieldForm, type Meaning, meaningOf } from '../nn/meaning.js'
import { ones } from '../tensor/creation.js'
import { checkNames, fieldName, fieldTensor, type Inputs, mapInputs, specsOf, tensorsOf } from '../tensor/inputs.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared, type Dtype, type FloatDtype, isFloat } from '../util/dtype.js'
import { formatShape, type Shape, sameShape, sizeOf } from '../util/shape.js'
import type { SampleSpec } from './parts.js'
import type { Signatures } from './signature.js'

/** x in the model's type, fields of integers and truth values in their own, y as the loss takes it, one row a sample. */
export interface Prepared {
  readonly x: Inputs
  readonly y: Tensor
  /** How much each sample counts, [m], 1 in the mean; none where all count alike. */
  readonly weights?: Tensor
  readonly samples: number
  /** The shape of the model's output for one sample. */
  readonly output: Shape
}

export const sampleOf = ({ x, y, weights }: Prepared): SampleSpec => ({
  x: specsOf(x, { sample: true }),
  y: y.shape.slice(1),
  yDtype: y.dtype,
  weighted: weights !== undefined,
})

/** What the mean loss over all samples divides by: the sum of their weights times those that the loss puts on their targets. */
export function totalWeightOf({ y, weights, samples }: Prepared, loss: Loss, dtype: FloatDtype): number {
  const own = loss.weightsOf?.(y, dtype)
  if (!own) return weights ? sumOf(weights.data) : samples
  return sumOf(Array.from(own.data, (w, i) => w * ((weights?.data[i] as number | undefined) ?? 1)))
}

const sumOf = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] as number
  return sum
}

/** The weights with a mean of 1, which changes no weighted mean and keeps their sums within the type. Errors: ERR_DATA where all are 0. */
function normalized(where: string, weights: Tensor, dtype: FloatDtype): Tensor {
  refuseNoWeight(where, weights)
  const { data, size } = weights
  const largest = data.reduce((a, b) => Math.max(a, b), 0)
  let sum = 0
  for (let i = 0; i < size; i++) sum += (data[i] as number) / largest
  const out = allocateShared(dtype, size)
  for (let i = 0; i < size; i++) out[i] = ((data[i] as number) / largest) * (size / sum)
  return new Tensor([size], dtype, out)
}

/** Both with weights or both without: the programs of a fit have one list of inputs. */
export function alikeWeighted(set: Prepared, validation: Prepared): [set: Prepared, validation: Prepared] {
  const given = set.weights ?? validation.weights
  if (!given) return [set, validation]
  const full = (data: Prepared): Prepared => ({ weights: ones([data.samples], { dtype: given.dtype }), ...data })
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
    const weights = rawWeights && { weights: normalized(where, rawWeights, dtype) }
    const samples = rawY.shape[0] as number
    const { targets } = this.loss
    const output = signature.outputOf(x)
    note(meaning, x)
    if (where !== 'evaluate') meaning.outputs = this.#outputsOf(sizeOf(output))
    const distribution = isFloat(rawY.dtype) && rawY.rank === 2 && sameShape(rawY.shape.slice(1), output) && (output[0] as number) > 1
    if (targets === 'classes' && !distribution)
      return { x, y: labelsFor(where, rawY, samples, output, this.loss.ignoreIndex), samples, output, ...weights }
    const given = fitting(where, 'y', rawY, dtype, targets === undefined)
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
    return { x, y, samples, output, ...weights }
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
