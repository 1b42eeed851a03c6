/**
 * The inputs of training's programs, by name. All programs of a fit share one list of them, since one runner repeats them; each
 * says how many rows it sees of those that it reads.
 */

import type { InputSpec } from '../plan/record.js'
import { type FieldSpec, fieldName, type Inputs as InputTree, tensorsOf, treeOf } from '../tensor/inputs.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Dtype, TypedArray } from '../util/dtype.js'
import { type Shape, sizeOf } from '../util/shape.js'
import type { SampleSpec, StepParts } from './parts.js'

/** What a program may be given: to add one, a name here and a line in `inputTable`. */
export type InputName =
  | 'x'
  /** One of several inputs. */
  | `x.${string}`
  | 'y'
  | 'weights'
  /** Indices of samples, update by update. */
  | 'order'
  /** The scalars of each update. */
  | 'hyperparameters'
  /** The counter of each run's random draws. */
  | 'draws'
  /** The report's sums of an epoch's earlier part. */
  | 'carry'
  | 'validation x'
  | `validation x.${string}`
  | 'validation y'
  | 'validation weights'
  /** Indices of the validation's samples, batch by batch, where they are not taken as they stand. */
  | 'validation order'
  /** Written: the validation's predictions. */
  | 'predictions'

/** The tensors of a program's inputs, while it is recorded. */
export type Inputs = (name: InputName) => Tensor

interface Column {
  /** Of one row. */
  readonly row: Shape
  readonly dtype: Dtype
  readonly writable?: boolean
}

/** How many rows one run sees, and how many it moves on by. */
export interface Rows {
  readonly rows: number
  /** 0 by default. */
  readonly advance?: number
}

export class InputTable {
  readonly names: readonly InputName[]

  /** @param fields of one sample's x */
  constructor(
    readonly columns: Partial<Record<InputName, Column>>,
    readonly fields: readonly FieldSpec[],
  ) {
    this.names = Object.keys(columns) as InputName[]
  }

  /** The inputs that x is made of. */
  namesOf(x: 'x' | 'validation x'): InputName[] {
    return this.fields.map(({ name }) => fieldName(name, x) as InputName)
  }

  /** x, of what stands for each of its inputs. */
  treeOf(x: 'x' | 'validation x', input: Inputs): InputTree {
    return treeOf(this.fields.map(({ name }) => [name, input(fieldName(name, x) as InputName)]))
  }

  /** The same rows of each of x's inputs. */
  rowsOf(x: 'x' | 'validation x', rows: Rows): Partial<Record<InputName, Rows>> {
    return Object.fromEntries(this.namesOf(x).map((name) => [name, rows]))
  }

  /** The arrays of x by the names of its inputs; none where there is no x. */
  arraysOf(x: 'x' | 'validation x', given: InputTree | undefined): Partial<Record<InputName, TypedArray>> {
    return given ? Object.fromEntries(tensorsOf(given).map(([name, t]) => [fieldName(name, x), t.data])) : {}
  }

  has(name: InputName): boolean {
    return this.columns[name] !== undefined
  }

  /** The place of an input in the list; −1 where the programs have none of the name. */
  at(name: InputName): number {
    return this.names.indexOf(name)
  }

  /** The list as one program sees it. */
  specs(seen: Partial<Record<InputName, Rows>>): InputSpec[] {
    return this.names.map((name) => {
      const { row, dtype, writable } = this.columns[name] as Column
      const { rows, advance = 0 } = seen[name] ?? { rows: 0 }
      return { name, shape: [rows, ...row], dtype, advance: advance * sizeOf(row), ...(writable && { writable }) }
    })
  }

  /** Arrays in the order of the list; undefined for those that are not given. */
  list<T extends TypedArray>(given: Partial<Record<InputName, T>>): (T | undefined)[] {
    return this.names.map((name) => given[name])
  }
}

/** What the programs of a fit, a step or an evaluation read. */
export function inputTable(
  parts: StepParts,
  sample: SampleSpec,
  uses: { training?: boolean; order?: boolean; validation?: boolean; sorted?: boolean; carry?: boolean; predictions?: Shape | undefined },
): InputTable {
  const { dtype } = parts
  const { training = false, order = false, validation = false, sorted = false, carry = false, predictions } = uses
  const columnsOf = (x: 'x' | 'validation x') =>
    Object.fromEntries(sample.x.map((field) => [fieldName(field.name, x), { row: field.shape, dtype: field.dtype }]))
  const y = { row: sample.y, dtype: sample.yDtype }
  const number = { row: [], dtype } as const
  const weights = { row: sample.weighted === 'steps' ? sample.y.slice(0, 1) : [], dtype }
  const integer = { row: [], dtype: 'int32' } as const
  const columns: Partial<Record<InputName, Column>> = {
    ...(training && { ...columnsOf('x'), y, hyperparameters: number }),
    ...(order && { order: integer }),
    ...(training && sample.weighted && { weights }),
    ...(training && parts.signature.draws && { draws: integer }),
    ...(carry && { carry: { row: [], dtype: 'float64' } }),
    ...(validation && { ...columnsOf('validation x'), 'validation y': y }),
    ...(validation && sample.weighted && { 'validation weights': weights }),
    ...(sorted && { 'validation order': integer }),
    ...(predictions && { predictions: { row: predictions, dtype, writable: true } }),
  }
  return new InputTable(columns, sample.x)
}
