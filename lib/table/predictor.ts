/** A model over a table, from raw records or rows to answers. */

import { WengertError } from '../errors.js'
import { meaningOf } from '../nn/meaning.js'
import type { Module } from '../nn/module.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, type TypedArray, withMemoryErrors } from '../util/dtype.js'
import { type AnswerOptions, answering, checkAnswerOptions, probabilitiesOf, type TablePrediction } from './answers.js'
import { type FittedTable, partsOf } from './fit.js'
import { type Scaling, unscaled } from './number.js'
import { checkReach, encodeRows } from './rows.js'
import { Table } from './table.js'

/** Rows that go through the model at once. */
const most = 4096

/** Predicts with a model and the table that it was trained by. */
export class TablePredictor {
  readonly #parts
  readonly #options: AnswerOptions
  readonly #answer: (values: TypedArray, m: number) => TablePrediction[]
  #outputsPerRow: number | undefined
  /** For one record at a time: its features and the outputs. */
  #single: { x: TypedArray; out: TypedArray } | undefined

  /** What outputs mean is known from the loss that the model was trained with. @throws ERR_OPTION, ERR_RANGE for what does not suit the target */
  constructor(
    readonly model: Module,
    readonly table: FittedTable,
    options: AnswerOptions = {},
  ) {
    const parts = partsOf.get(table)
    if (!parts) throw new WengertError('ERR_VALUE', 'predict: the table was not made by fitTable')
    this.#parts = parts
    const outputs = options.outputs ?? meaningOf(model).outputs
    if (outputs === 'unknown' && parts.target.task !== 'numbers')
      throw new WengertError(
        'ERR_STATE',
        "predict: the model's loss does not say what its outputs mean; give outputs, such as 'classLogits'",
      )
    this.#options = { ...options, outputs: outputs === 'unknown' ? undefined : outputs }
    checkAnswerOptions('predict', parts.target, this.#options)
    this.#answer = answering(parts.target, this.#options)
  }

  /** The answers to records or rows. Errors: ERR_DATA naming record and column. */
  predict(records: Iterable<unknown> | Table): TablePrediction[] {
    if (Array.isArray(records) && records.length === 1) return this.#one(records[0])
    return withMemoryErrors('predictRecords', () => {
      const { values, m } = this.#outputs(records)
      return this.#answer(values, m)
    })
  }

  /** As `values`, of features that the table has encoded, [m, features]. */
  valuesOf(x: Tensor): Float64Array {
    return this.#valuesOf(this.#forward(x), x.shape[0] as number)
  }

  #valuesOf(values: TypedArray, m: number): Float64Array {
    const { target } = this.#parts
    return target.task === 'numbers' ? this.inUnits(values) : probabilitiesOf(target, values, m, this.#options)
  }

  /** Scaled numbers [m, columns] in their own units. */
  inUnits(values: TypedArray): Float64Array {
    const scalings = this.#parts.target.scalings ?? []
    return Float64Array.from(values as Float64Array, (z, i) => unscaled(scalings[i % scalings.length] as Scaling, z))
  }

  /** Probabilities [m, classes], or numbers in their own units [m, columns], row by row. */
  values(records: Iterable<unknown> | Table): Float64Array {
    const { values, m } = this.#outputs(records)
    return this.#valuesOf(values, m)
  }

  /** The model's own outputs [m, outputs], row by row. */
  outputs(records: Iterable<unknown> | Table): TypedArray {
    return this.#outputs(records).values
  }

  #one(record: unknown): TablePrediction[] {
    const { records, dtype } = this.#parts
    // A prediction in between, by a getter of the record, must not find these arrays in use.
    const { x, out } = this.#single ?? { x: allocate(dtype, records.width), out: allocate(dtype, this.#width()) }
    this.#single = undefined
    records.write(record, 0, x, 0)
    this.model.predictInto(x, out, [1, records.width])
    const answers = this.#answer(out, 1)
    this.#single = { x, out }
    return answers
  }

  #width(): number {
    this.#outputsPerRow ??= this.check()
    return this.#outputsPerRow
  }

  /** How many outputs a row has. Errors: ERR_SHAPE where the model does not take the table's features, or gives too few or many outputs. */
  check(): number {
    const { records, dtype, target } = this.#parts
    const { size } = this.#tried(new Tensor([1, records.width], dtype, allocate(dtype, records.width)))
    const single = size === 1 && target.task === 'classes' && target.outputs === 2
    if (size !== target.outputs && !single)
      throw new WengertError(
        'ERR_SHAPE',
        `predict: the model gives ${size} outputs a row, and the target has ${target.outputs}: ${target.says}`,
        {
          expected: target.outputs,
          actual: size,
        },
      )
    return size
  }

  /** The outputs of a sample. Errors: ERR_SHAPE where the model takes other columns. */
  #tried(x: Tensor): Tensor {
    try {
      return this.model.predict(x)
    } catch (error) {
      if (!(error instanceof WengertError) || error.code !== 'ERR_SHAPE') throw error
      throw new WengertError(
        'ERR_SHAPE',
        `predict: the model does not take the table's ${x.shape[1]} columns; its first layer should be table.input(): ${error.message}`,
        { expected: error.expected, actual: error.actual, cause: error },
      )
    }
  }

  #outputs(records: Iterable<unknown> | Table): { values: TypedArray; m: number } {
    const { records: encoder, dtype, encodings, unknown, target } = this.#parts
    let x: Tensor
    if (records instanceof Table) {
      const data = allocate(dtype, records.length * encoder.width)
      const rows = records.without(...target.columns.filter((name) => records.has(name)))
      encodeRows(encodings, rows, data as Float32Array, { known: encoder.names, unknown })
      checkReach(encodings, rows, data)
      x = new Tensor([records.length, encoder.width], dtype, data)
    } else x = encoder.encode(records)
    return { values: this.#forward(x), m: x.shape[0] as number }
  }

  #forward(x: Tensor): TypedArray {
    const { records: encoder, dtype } = this.#parts
    const m = x.shape[0] as number
    const width = this.#width()
    if (m <= most) return this.model.predict(x).data
    const values = allocate(dtype, m * width)
    for (let from = 0; from < m; from += most) {
      const to = Math.min(m, from + most)
      const part = new Tensor([to - from, encoder.width], dtype, x.data.subarray(from * encoder.width, to * encoder.width))
      values.set(this.model.predict(part).data, from * width)
    }
    return values
  }
}
