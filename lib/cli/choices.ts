/** What `train` chooses where no flag says it, and how it tells. */

import {
  boolean,
  type ColumnReport,
  type ColumnSpec,
  category,
  date,
  type FitTableOptions,
  type FittedTable,
  ignore,
  type Leak,
  labels,
  number,
  split,
  type Table,
  type TableSplitOptions,
  text,
  WengertError,
} from '../index.js'
import { type Given, Misuse, percent, short, thousands } from './arguments.js'
import type { Aim, Recipe, Settling } from './network.js'

/** All that was chosen, before the rate is. */
export interface Choices extends Settling {
  readonly split: TableSplitOptions<readonly [number, number, number]>
  readonly fit: FitTableOptions
  readonly recipe: Recipe
}

interface Speaker {
  say(line: string): void
  choice(name: string, what: string, flag?: string): void
}

/** Refuses columns that are not there, with the nearest name. */
export function checkColumns(rows: Table, flag: string, names: readonly string[]): void {
  for (const name of names) {
    try {
      rows.column(name)
    } catch (error) {
      throw new Misuse(`--${flag}: ${(error as Error).message.replace(/^\w+: /, '')}`)
    }
  }
}

/** How the rows are parted. */
export function splitOf(rows: Table, targets: readonly string[], options: Given): Choices['split'] {
  const share = (name: string) => options.number(name, { min: 0.01, max: 0.8 }) ?? 0.15
  const [validation, test] = [share('validation'), share('test')]
  if (validation + test > 0.9) throw new Misuse('--validation and --test leave less than a tenth to train on')
  const seed = options.number('seed', { min: 0, integer: true }) ?? 1
  const [by, groups] = [options.text('time'), options.text('groups')]
  if (by !== undefined && groups !== undefined) throw new Misuse('--time or --groups, not both')
  for (const [flag, name] of [
    ['time', by],
    ['groups', groups],
  ] as const) {
    if (name === undefined) continue
    checkColumns(rows, flag, [name])
    if (targets.includes(name)) throw new Misuse(`--${flag} ${name}: that is the target, by which rows cannot be split`)
  }
  const parts = [1 - validation - test, validation, test] as const
  const common = { parts, seed }
  if (by !== undefined) {
    const told = kindsOf(rows, options).get(by)
    return { ...common, by, ...(told?.startsWith('date:') && { format: told.slice('date:'.length) }) }
  }
  if (groups !== undefined) return { ...common, groups }
  const [target] = targets as [string]
  // Rows with a class that is rarer than the parts are many cannot be in each.
  return targets.length === 1 && isClasses(rows, target, options) ? { ...common, stratify: target } : common
}

/** The parts; what is wrong with a column of times is said in the words of the flags. */
export function parted(rows: Table, how: Choices['split']): [train: Table, validation: Table, test: Table] {
  try {
    return split(rows, how)
  } catch (error) {
    if (how.by === undefined || !(error instanceof WengertError) || error.code !== 'ERR_OPTION') throw error
    const [why] = error.message.replace(/^split: expected by to be/, '--time takes').split('; format:')
    throw new Misuse(`${why}; --kind ${how.by}=date:DD/MM/YYYY says how its dates are written`)
  }
}

/** What `--kind` says, by column: names and formats may have commas. */
function kindsOf(rows: Table, options: Given): Map<string, string> {
  const cut = (pair: string): [string, string] => {
    const at = pair.lastIndexOf('=')
    return [pair.slice(0, Math.max(at, 0)), pair.slice(at + 1)]
  }
  const found = new Map<string, string>()
  for (const pair of options.list('kind', (value) => rows.has(cut(value)[0]))) {
    const [name, told] = cut(pair)
    if (name === '' || !Object.hasOwn(kinds, told.replace(/^date:.*/, 'date')))
      throw new Misuse(`--kind takes column=kind with ${Object.keys(kinds).join(', ')}, and got '${pair.slice(0, 60)}'`)
    checkColumns(rows, 'kind', [name])
    found.set(name, told)
  }
  return found
}

/** The task, where `--task` or the target's `--kind` says it. */
function taskOf(rows: Table, targets: readonly string[], options: Given): 'classes' | 'numbers' | 'labels' | undefined {
  const task = options.text('task')
  if (task !== undefined && task !== 'classes' && task !== 'numbers' && task !== 'labels')
    throw new Misuse(`--task is classes, numbers or labels, and got '${task.slice(0, 40)}'`)
  const told = kindsOf(rows, options)
  const name = targets.find((target) => told.has(target))
  if (name === undefined) return task
  const kind = told.get(name) as string
  const meant =
    kind === 'number' ? 'numbers' : kind === 'category' || kind === 'boolean' ? (targets.length > 1 ? 'labels' : 'classes') : undefined
  if (meant === undefined || (task !== undefined && task !== meant))
    throw new Misuse(`--kind ${name}=${kind}: the target is what --task says, classes, numbers or labels`)
  return meant
}

function isClasses(rows: Table, target: string, options: Given): boolean {
  const task = taskOf(rows, [target], options)
  if (task !== undefined) return task === 'classes'
  return rows.column(target).type === 'text' || fewNumbers(rows, target)
}

/** Whether a column of numbers holds few different integers: classes rather than amounts. */
function fewNumbers(rows: Table, name: string): boolean {
  const view = rows.column(name)
  if (view.type !== 'number') return false
  const seen = new Set<number>()
  for (let i = 0; i < view.length; i++) {
    const value = view.at(i) as number | undefined
    if (value === undefined) continue
    if (!Number.isInteger(value)) return false
    seen.add(value)
    if (seen.size > 12) return false
  }
  return seen.size * 5 <= rows.length
}

const truths = new Set(['true', 'false', 'yes', 'no', 'y', 'n', 't', 'f', 'on', 'off', '1', '0'])

/** Whether a column holds truth values alone. */
function holdsTruths(rows: Table, name: string): boolean {
  const view = rows.column(name)
  for (let i = 0; i < view.length; i++) {
    const value = view.at(i)
    if (value !== undefined && !truths.has(String(value).toLowerCase())) return false
  }
  return true
}

/** Whether a number spreads over magnitudes, so that its logarithm is the better target. */
function spreads(rows: Table, name: string): boolean {
  const values = rows.column(name).numbers()
  if (values.some((value) => value <= 0)) return false
  const logs = values.map(Math.log)
  const skew = (list: Float64Array) => {
    const mean = list.reduce((a, b) => a + b, 0) / list.length
    const moment = (p: number) => list.reduce((a, b) => a + (b - mean) ** p, 0) / list.length
    return Math.abs(moment(3) / (moment(2) ** 1.5 || 1))
  }
  return skew(values) > 2 && skew(logs) < skew(values) / 2
}

const kinds = { number, category, boolean, date, text, ignore } as const

const commaNumber = /^[+-]?[\d.]{1,40},\d{1,40}$/

/** Refuses a target that is surely not what was meant, with what to do. */
function checkTarget(train: Table, target: string): void {
  const mixed = train.mixed.get(target)
  if (mixed && commaNumber.test(mixed.cell))
    throw new WengertError(
      'ERR_DATA',
      `the target '${target}' holds numbers with commas, such as '${mixed.cell}' in row ${mixed.row}: write them with points, as 12.5`,
    )
  if (mixed) {
    throw new WengertError(
      'ERR_DATA',
      `the target '${target}' holds ${mixed.was}s, and '${mixed.cell}' in row ${mixed.row}: mend that row, leave it empty, or predict classes of texts with --task classes`,
    )
  }
  const view = train.column(target)
  if (view.type !== 'text') return
  const seen = new Set<unknown>()
  for (let i = 0; i < view.length; i++) seen.add(view.at(i))
  const [some] = seen
  if (seen.size > 20 && commaNumber.test(String(some)))
    throw new WengertError(
      'ERR_DATA',
      `the target '${target}' holds numbers with commas, such as '${some}': write them with points, as 12.5`,
    )
  if (seen.size > 20 && seen.size * 3 > view.length)
    throw new WengertError(
      'ERR_DATA',
      `the target '${target}' has ${seen.size} different texts in ${view.length} rows: an identifier or free text cannot be predicted as classes`,
    )
}

/**
 * What flags say of columns, and what the target is.
 *
 * @param ignored columns that nothing is to be learned from; records that are predicted later may have them
 * @param leaks as `ignored`, for what they say of the target
 */
export function specsOf(
  train: Table,
  targets: readonly string[],
  ignored: readonly string[],
  leaks: readonly Leak[],
  options: Given,
): Record<string, ColumnSpec> {
  const specs: [string, ColumnSpec][] = []
  for (const [name, told] of kindsOf(train, options))
    if (!targets.includes(name))
      specs.push([name, told.startsWith('date:') ? date({ format: told.slice('date:'.length) }) : kinds[told as keyof typeof kinds]()])
  const task = taskOf(train, targets, options)
  // Several columns of truth values are labels.
  const labelled = targets.length > 1 && task === undefined && targets.every((name) => holdsTruths(train, name))
  for (const target of labelled ? [] : targets) {
    if (task === undefined) checkTarget(train, target)
    if (task === 'labels' && targets.length === 1) specs.push([target, labels()])
    else if (task === 'classes' || (task === undefined && targets.length === 1 && isClasses(train, target, options)))
      specs.push([target, category()])
    else if (task !== 'labels' && train.column(target).type === 'number') {
      const log = options.on('log-target') || (!options.on('no-log-target') && spreads(train, target))
      specs.push([target, number({ log })])
    } else if (task === 'numbers') specs.push([target, number()])
  }
  for (const name of ignored) specs.push([name, ignore()])
  for (const { column, explains } of leaks) {
    const reason = `it alone says ${percent(explains)} of the target; wengert train left it out, --keep ${column} keeps it`
    specs.push([column, ignore({ reason })])
  }
  // Own properties, whatever their names.
  return Object.fromEntries(specs)
}

/** Sizes of hidden layers for a number of rows. */
function hiddenFor(rows: number, options: Given): readonly number[] {
  const given = options.list('hidden')
  if (given.length === 0) return rows < 1000 ? [16] : rows < 10_000 ? [32, 16] : rows < 100_000 ? [64, 32] : [128, 64]
  return given.map((size) => {
    const n = Number(size)
    if (!Number.isInteger(n) || n < 1 || n > 65_536)
      throw new Misuse(`--hidden takes sizes such as 64,32, and got '${given.join(',').slice(0, 40)}'`)
    return n
  })
}

function aimOf(options: Given): { aim: Aim | undefined; threshold: number | undefined } {
  const given = options.text('threshold') ?? 'f1'
  if (given === 'f1' || given === 'accuracy' || given === 'balanced') return { aim: given, threshold: undefined }
  const [a, b] = given.split(':').map(Number) as [number, number | undefined]
  if (b !== undefined && a >= 0 && b >= 0) return { aim: { falsePositive: a, falseNegative: b }, threshold: undefined }
  if (b === undefined && a > 0 && a < 1) return { aim: undefined, threshold: a }
  throw new Misuse(`--threshold takes f1, accuracy, balanced, two costs such as 1:10, or a probability, and got '${given.slice(0, 40)}'`)
}

/** The share of the rarest class. */
function rarest(table: FittedTable, train: Table): number {
  if (table.task !== 'classes') return 1
  const y = table(train.length > 50_000 ? train.head(50_000) : train).y.data
  const counts = new Float64Array(table.outputs)
  for (const label of y) counts[label] = (counts[label] as number) + 1
  return counts.filter((n) => n > 0).reduce((a, b) => Math.min(a, b), y.length) / y.length
}

/** Everything else that is chosen. */
export function choicesOf(
  table: FittedTable,
  train: Table,
  specs: Readonly<Record<string, ColumnSpec>>,
  split: Choices['split'],
  options: Given,
): Choices {
  const n = train.length
  const binary = table.task === 'classes' && table.outputs === 2
  const { aim, threshold } = aimOf(options)
  if (!binary && options.text('threshold') !== undefined)
    throw new Misuse(`--threshold is for two classes; the target has ${table.outputs} outputs`)
  return {
    split,
    fit: { target: table.target.length === 1 ? (table.target[0] as string) : table.target, columns: specs },
    recipe: {
      hidden: hiddenFor(n, options),
      dropout: options.number('dropout', { min: 0, max: 0.9 }) ?? 0.1,
      rate: options.number('rate', { min: 1e-9, max: 10 }) ?? 1e-3,
      batchSize: options.number('batch', { min: 1, integer: true }) ?? (n < 1000 ? 16 : n < 20_000 ? 64 : 256),
      epochs: options.number('epochs', { min: 1, integer: true }) ?? 200,
      patience: options.number('patience', { min: 1, integer: true }) ?? 10,
      weigh: !options.on('no-weigh') && table.task === 'classes' && rarest(table, train) < 0.5 / table.outputs ? 0.5 : 0,
      seed: split.seed ?? 1,
    },
    aim: binary ? aim : undefined,
    threshold: binary ? threshold : undefined,
    calibrate: !options.on('no-calibrate'),
  }
}

/**
 * Columns of which the same is said are named together where more than three follow each other; the target is none of them, nor what
 * was left out by a flag or with a warning.
 */
function alike(columns: readonly ColumnReport[]): (Pick<ColumnReport, 'role' | 'says' | 'guessed'> & { names: string[] })[] {
  const runs: (Pick<ColumnReport, 'role' | 'says' | 'guessed'> & { names: string[] })[] = []
  for (const { name, role, says, guessed } of columns) {
    if (role === 'target' || (role === 'left out' && !guessed)) continue
    const last = runs[runs.length - 1]
    if (last && last.role === role && last.says === says && last.guessed === guessed) last.names.push(name)
    else runs.push({ names: [name], role, says, guessed })
  }
  return runs.flatMap((run) => (run.names.length > 3 ? [run] : run.names.map((name) => ({ ...run, names: [name] }))))
}

/** Says what was chosen before anything is trained. */
export function heading(voice: Speaker, table: FittedTable, { split, recipe }: Choices, parts: readonly Table[]): void {
  const target = table.columns.filter(({ role }) => role === 'target')
  voice.choice(
    'target',
    target.map(({ name, says }) => (says.startsWith(name) ? says : `${name}: ${says}`))[0] as string,
    '--target, --task',
  )
  const by = split.by
    ? `by time (${split.by})`
    : split.groups
      ? `whole groups of ${split.groups}`
      : split.stratify
        ? 'at random, classes in proportion'
        : 'at random'
  const [train, validation, test] = parts.map(({ length }) => thousands(length))
  voice.choice(
    'split',
    `${train} to train, ${validation} to stop by, ${test} held out; ${by}`,
    '--time, --groups, --validation, --test, --seed',
  )
  for (const { names, role, says, guessed } of alike(table.columns)) {
    const [name] = names
    const several = names.length > 1
    const kind = several ? 'column' : name
    voice.choice(
      several ? 'columns' : 'column',
      `${several ? `${name} … ${names[names.length - 1]} (${names.length})` : name}: ${role === 'left out' ? 'left out, ' : ''}${says}`,
      guessed ? `--kind ${kind}=…, --ignore ${kind}` : '',
    )
  }
  if (recipe.weigh > 0)
    voice.choice('weights', `rare classes count more in training; probabilities are brought back to the true shares`, '--no-weigh')
  voice.choice(
    'network',
    [table.width, ...recipe.hidden, table.outputs].join(' → ') +
      (recipe.dropout > 0 && recipe.hidden.length > 0 ? `, ReLU, dropout ${short(recipe.dropout)}` : ', ReLU'),
    '--hidden, --dropout',
  )
  voice.choice('updates', `AdamW, batches of ${recipe.batchSize}, at most ${recipe.epochs} epochs`, '--batch, --epochs')
}
