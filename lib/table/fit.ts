/** `fitTable`: from typed rows to what a model is trained on and serves with; fitted on the training part and nothing else. */

import { Dataset } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import type { Loss } from '../nn/loss-contract.js'
import { TableInput } from '../nn/table-input.js'
import type { Random } from '../tensor/random.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared, type FloatDtype, withMemoryErrors } from '../util/dtype.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { type ColumnSpec, type Encoding, Fields } from './encoding.js'
import { formIn, toldSpec } from './forms.js'
import { guessColumn } from './guess.js'
import { checkSpec, encodingFromJSON, fitColumn } from './kinds.js'
import { RecordEncoder } from './records.js'
import { encodeRows } from './rows.js'
import { wholeTable } from './shard.js'
import { type ColumnView, Room, Table, unknownColumn } from './table.js'
import { fitTarget, type Target, type Task, targetFromJSON } from './target.js'

/** Of `fitTable`. */
export interface FitTableOptions {
  /** The column to predict; several of numbers, or several of truth values (each a label). */
  target: string | readonly string[]
  /** What columns are, by name: `number()`, `category()`, `boolean()`, `date()`, `text()`, `ignore()`. Others are guessed. */
  columns?: Readonly<Record<string, ColumnSpec>>
  /** 'refuse' (the default) or 'ignore' columns of later records that the training part does not have. */
  unknown?: 'refuse' | 'ignore'
  /** Of x and of targets that are numbers; 'float32' by default. */
  dtype?: FloatDtype
}

/** What became of a column. */
export interface ColumnReport {
  readonly name: string
  readonly role: 'feature' | 'target' | 'left out'
  readonly kind: string
  /** Whether it was guessed. */
  readonly guessed: boolean
  /** What would say the same in `columns`; not of a table that was loaded. */
  readonly spec?: ColumnSpec
  readonly says: string
}

/** All that a fitted table is made of. */
interface Parts {
  encodings: readonly Encoding[]
  target: Target
  /** Columns that were there and are not used. */
  leftOut: readonly string[]
  unknown: 'refuse' | 'ignore'
  dtype: FloatDtype
  report: readonly ColumnReport[]
}

/** A fitted table: call it on rows to have a data set. */
export interface FittedTable {
  /** The rows as a data set. Errors: ERR_DATA, ERR_LABEL naming row and column. */
  (rows: Table): Dataset
  readonly kind: 'table'
  readonly task: Task
  /** The columns that are predicted. */
  readonly target: readonly string[]
  /** How many outputs a model needs. */
  readonly outputs: number
  /** Names of the classes or labels. */
  readonly classes: readonly string[] | undefined
  /** The names of the features behind `input()`. */
  readonly features: readonly string[]
  /** The names of the columns of x before it: numbers as features, then one column of codes for each category. */
  readonly inputs: readonly string[]
  /** The columns that a record needs or may have. */
  readonly columns: readonly ColumnReport[]
  /** The number of features behind `input()`. */
  readonly width: number
  /** A loss for the task, for a model without a last activation. */
  readonly loss: Loss
  /**
   * The first layer of a model: it makes features of the codes of categories, one for each or a learned vector.
   *
   * @param options.rng of the learned vectors
   * @param options.history whether x has past targets behind the table's columns, as samples of `windows` have
   */
  input(options?: { rng?: Random; history?: boolean }): TableInput
  /** Records as the columns of x, [m, inputs]; the target may be missing. Errors: ERR_DATA naming record and column. */
  encode(records: Iterable<unknown>): Tensor
  toJSON(): Record<string, unknown>
  /** What is made of every column, as lines. */
  toString(): string
}

/** @internal What prediction needs of a fitted table. */
export const partsOf = new WeakMap<FittedTable, Parts & { records: RecordEncoder }>()

/** The version of the JSON of fitted tables. */
const version = 1
/** More features than this are a mistake, or a file that means harm. */
const mostFeatures = 1 << 18

function assemble(parts: Parts): FittedTable {
  const { target, dtype, unknown, leftOut, report } = parts
  // Codes of categories come last, so that the first layer can tell them by their place: features each, then learned vectors.
  const coded = (as: 'oneHot' | 'embedding' | undefined) => parts.encodings.filter(({ code }) => code?.as === as)
  const encodings = [...coded(undefined), ...coded('oneHot'), ...coded('embedding')]
  const codes = encodings.flatMap(({ code }) => (code ? [code] : []))
  const features = encodings.flatMap((encoding) => encoding.features)
  const inputs = encodings.flatMap((encoding) => encoding.columns)
  const records = new RecordEncoder(encodings, { known: new Set([...leftOut, ...target.columns]), unknown, dtype })
  const call = (rows: Table): Dataset => {
    if (!(rows instanceof Table))
      throw new WengertError('ERR_VALUE', `table: expected rows of readTable, got ${describe(rows)}; table.encode takes records`, {
        actual: rows,
      })
    const y = target.encode(rows, dtype)
    const data = allocateShared(dtype, rows.length * inputs.length)
    encodeRows(encodings, rows, data as Float32Array, { known: records.names, unknown })
    return new Dataset(new Tensor([rows.length, inputs.length], dtype, data), y, {
      features: inputs,
      ...(rows.shard && { shard: rows.shard }),
      ...(target.task === 'classes' && target.classes && { classes: target.classes }),
    })
  }
  const table: FittedTable = Object.assign((rows: Table) => withMemoryErrors('table', () => call(rows)), {
    kind: 'table' as const,
    task: target.task,
    target: target.columns,
    outputs: target.outputs,
    classes: target.classes,
    features,
    inputs,
    columns: report,
    width: features.length,
    loss: target.loss,
    input: (options: { rng?: Random; history?: boolean } = {}) => {
      checkOptions('table.input', options, ['rng', 'history'])
      const { rng, history = false } = options
      return TableInput.of(inputs.length - codes.length, codes, { ...(rng && { rng }), tail: history ? target.outputs : 0 })
    },
    encode: (list: Iterable<unknown>) => withMemoryErrors('table.encode', () => records.encode(list)),
    toJSON: () => ({
      kind: 'table',
      version,
      dtype,
      unknown,
      leftOut: [...leftOut],
      columns: parts.encodings.map((encoding) => encoding.toJSON()),
      target: target.toJSON(),
    }),
    toString: () => reportText(report),
  })
  partsOf.set(table, { ...parts, encodings, records })
  return table
}

function reportText(report: readonly ColumnReport[]): string {
  const width = Math.min(30, Math.max(...report.map(({ name }) => name.length)))
  return report
    .map(
      ({ name, role, says, guessed }) =>
        `${name.padEnd(width)}  ${role === 'feature' ? '' : `${role}: `}${says}${guessed ? ' (guessed)' : ''}`,
    )
    .join('\n')
}

function isEmpty(view: ColumnView): boolean {
  for (let i = 0; i < view.length; i++) if (view.at(i) !== undefined) return false
  return true
}

/**
 * Fits the way from rows to features and targets on the training part alone: scales, categories, medians and words are
 * those of these rows, and nothing of others is looked at. What is not told of columns is guessed; `String(table)` says what.
 *
 * @param rows the training part; of a shard (`readTable(path, { shard: 'auto' })`) all rows are fitted on, a column at a time, by every rank alike
 * @throws ERR_OPTION for a column that is not there, with the nearest name; ERR_DATA for a target of one class, or values of
 *   another kind, naming row and column
 * @example
 * const table = fitTable(train, { target: 'churned', columns: { plan: category(), spend: number({ log: true }) } })
 * const model = new nn.Sequential(table.input(), new nn.Linear(table.width, 64), new nn.ReLU(), new nn.Linear(64, table.outputs))
 * await trainer.fit(table(train), { epochs: 30, validation: table(validation) })
 */
export function fitTable(rows: Table, options: FitTableOptions): FittedTable {
  return withMemoryErrors('fitTable', () => {
    if (!(rows instanceof Table))
      throw new WengertError('ERR_VALUE', `fitTable: expected rows of readTable, got ${describe(rows)}`, { actual: rows })
    checkOptions('fitTable', options ?? {}, ['target', 'columns', 'unknown', 'dtype'])
    const { target: named, columns = {}, unknown = 'refuse', dtype = 'float32' } = options ?? {}
    const targets = Array.isArray(named) ? (named as readonly unknown[]) : [named]
    if (targets.length === 0 || !targets.every((name) => typeof name === 'string') || new Set(targets).size !== targets.length)
      throw new WengertError('ERR_OPTION', `fitTable: expected target to be the name of a column, got ${describe(named)}`, {
        actual: named,
      })
    if (!isPlainObject(columns))
      throw new WengertError('ERR_OPTION', `fitTable: expected columns by name, got ${describe(columns)}`, { actual: columns })
    checkChoice('fitTable', 'unknown', unknown, ['refuse', 'ignore'] as const)
    checkChoice('fitTable', 'dtype', dtype, ['float32', 'float64'] as const)
    const specs = new Map(Object.entries(columns).map(([name, spec]) => [name, checkSpec(name, spec)]))
    for (const name of specs.keys()) if (!rows.has(name)) throw unknownColumn('fitTable', 'column', name, rows.names)
    const all = wholeTable('fitTable', rows)
    const target = fitTarget(all, targets as string[], specs)
    const room = new Room()
    const encodings: Encoding[] = []
    const report: ColumnReport[] = []
    for (const name of rows.names) {
      if (target.columns.includes(name)) {
        const spec = specs.get(name)
        report.push({ name, role: 'target', kind: target.task, guessed: !spec, says: target.says, ...(spec && { spec }) })
        continue
      }
      const view = all.column(name)
      const given = specs.get(name)
      const { spec, reason } = given ? toldSpec(rows, view, given) : guessColumn(view, room, () => formIn(rows, name))
      const guessed = given === undefined
      // Nothing can be learned of a column without values, and any later one would count by chance.
      const empty = !guessed && spec.kind !== 'ignore' && isEmpty(view)
      if (spec.kind === 'ignore' || empty) {
        const says = empty ? 'without any value' : (reason ?? (spec.reason as string | undefined) ?? 'as told')
        report.push({ name, role: 'left out', kind: 'ignore', guessed, says, spec })
        continue
      }
      const encoding = fitColumn(view, spec, room)
      encodings.push(encoding)
      const asText = guessed && spec.kind !== 'number' && spec.kind !== 'date'
      const mixed = asText ? rows.mixed.get(name) : undefined
      const why = mixed ? `text because of ${describe(mixed.cell)} in row ${mixed.row}, where ${mixed.was}s were before` : reason
      report.push({ name, role: 'feature', kind: spec.kind, guessed, says: `${encoding.says}${why ? `; ${why}` : ''}`, spec })
    }
    if (encodings.every(({ features }) => features.length === 0))
      throw new WengertError('ERR_DATA', `fitTable: no column beside the target says anything:\n${reportText(report)}`)
    if (encodings.reduce((sum, { features }) => sum + features.length, 0) > mostFeatures)
      throw new WengertError('ERR_DATA', `fitTable: the columns become more than ${mostFeatures} features:\n${reportText(report)}`)
    const leftOut = report.flatMap(({ name, role }) => (role === 'left out' ? [name] : []))
    return assemble({ encodings, target, leftOut, unknown, dtype, report })
  })
}

/**
 * The fitted table that `JSON.stringify(table)` kept.
 *
 * @throws ERR_VALUE for anything else
 */
export function tableFromJSON(json: unknown): FittedTable {
  const f = new Fields(isPlainObject(json) ? json : {}, 'table')
  if (f.json.kind !== 'table' || f.json.version !== version) throw f.fail('version', `${version} of a table`)
  const { columns } = f.json
  if (!Array.isArray(columns) || columns.length === 0) throw f.fail('columns', 'a list of columns')
  let width = 0
  const encodings = columns.map((column, i) => {
    const encoding = encodingFromJSON(column, `table: column ${i}`)
    width += encoding.features.length
    if (width > mostFeatures) throw f.fail('columns', `of at most ${mostFeatures} features together`)
    return encoding
  })
  const target = targetFromJSON(f.json.target, 'table: target')
  const leftOut = f.texts('leftOut')
  const names = [...encodings.map(({ name }) => name), ...leftOut, ...target.columns]
  if (new Set(names).size !== names.length) throw f.fail('columns', 'named once each')
  return assemble({
    encodings,
    target,
    leftOut,
    unknown: checkChoice('table', 'unknown', f.json.unknown, ['refuse', 'ignore'] as const),
    dtype: checkChoice('table', 'dtype', f.json.dtype, ['float32', 'float64'] as const),
    report: [
      ...encodings.map(({ name, kind, says }): ColumnReport => ({ name, role: 'feature', kind, guessed: false, says })),
      ...leftOut.map((name): ColumnReport => ({ name, role: 'left out', kind: 'ignore', guessed: false, says: 'not used' })),
      ...target.columns.map((name): ColumnReport => ({ name, role: 'target', kind: target.task, guessed: false, says: target.says })),
    ],
  })
}
