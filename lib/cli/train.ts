/** `wengert train`: from a file of rows to a model that answers to raw rows, every choice printed with the flag that changes it. */

import { writeFile } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import {
  type FittedTable,
  findLeaks,
  fitTable,
  type Importance,
  type Leak,
  partialDependence,
  permutationImportance,
  progress,
  type ReadTableOptions,
  readTable,
  report,
  saveModel,
  scoreTable,
  type Table,
  type TableScores,
  WengertError,
} from '../index.js'
import { answered, bytes, columns, type Flag, type Given, given, helpOf, Misuse, percent, short, thousands } from './arguments.js'
import { type Choices, checkColumns, choicesOf, heading, parted, specsOf, splitOf } from './choices.js'
import { ejected } from './eject.js'
import { crossValidated, foldsOf } from './folds.js'
import { constantModel, type Recipe, settled, type Trained, trainNetwork } from './network.js'
import { checkWritable, formatOf, memoryLimit, readFlags, sizeOf, sourceOf, written } from './source.js'

const flags: Readonly<Record<string, Flag>> = {
  target: { value: 'column', says: 'what to predict; several columns of truth values or numbers with commas between' },
  out: { value: 'path', says: "the model's file; the input's name with .wengert otherwise" },
  report: { value: 'path', says: 'the page; the input\'s name with .html otherwise. "none" for no page' },
  eject: { value: 'path', says: 'write the TypeScript program that does the same' },
  task: { value: 'classes|numbers|labels', says: 'what the target is; told by its values otherwise' },
  kind: {
    value: 'column=kind',
    says: 'number, category, boolean, date (date:DD.MM.YYYY), text; told by the values otherwise',
    multiple: true,
  },
  ignore: { value: 'columns', says: 'leave these out', multiple: true },
  keep: { value: 'columns', says: 'keep these though they give the target away', multiple: true },
  time: { value: 'column', says: 'split by time: train on the past, test on the future' },
  groups: { value: 'column', says: 'rows of one value stay together when split' },
  validation: { value: 'share', says: 'of the rows, to stop by and to calibrate; 0.15' },
  test: { value: 'share', says: 'of the rows, held out to the end; 0.15' },
  folds: { value: 'n', says: 'also cross-validate, to see the spread' },
  hidden: { value: 'sizes', says: 'of the hidden layers, such as 64,32; by the number of rows otherwise' },
  dropout: { value: 'share', says: 'of hidden units left out in training; 0.1' },
  rate: { value: 'number', says: 'the learning rate; the best of four tries otherwise' },
  batch: { value: 'rows', says: 'of an update; by the number of rows otherwise' },
  epochs: { value: 'n', says: 'the most; 200' },
  patience: { value: 'n', says: 'epochs without a better validation before it stops; 10' },
  'no-weigh': { says: 'count rare classes as they come' },
  'log-target': { says: 'predict the logarithm of a number' },
  'no-log-target': { says: 'predict the number itself' },
  'no-calibrate': { says: 'leave probabilities as the network gives them' },
  threshold: { value: 'f1|accuracy|balanced|fp:fn|p', says: 'what the threshold is best for, two costs, or itself; f1' },
  memory: { value: 'MB', says: 'for the rows; where they are more, a random part is kept. A twelfth of what there is' },
  sample: { value: 'rows', says: 'train on a random part of the rows' },
  seed: { value: 'n', says: 'of every draw; 1' },
  ...readFlags,
}

const usage = 'wengert train <file | -> --target <column> [flags]'

/** Lines for people: on stdout, unless JSON goes there. */
class Voice {
  constructor(readonly json: boolean) {}

  say(line: string): void {
    ;(this.json ? process.stderr : process.stdout).write(`${line}\n`)
  }

  choice(name: string, what: string, flag = ''): void {
    this.say(`${name.padEnd(11)}${what}${flag === '' ? '' : `   [${flag}]`}`)
  }
}

/** Reads the rows, as many as memory has room for. */
async function read(path: string | undefined, options: Given, voice: Voice): Promise<{ rows: Table; reading: ReadTableOptions }> {
  const memory = (options.number('memory', { min: 1 }) ?? memoryLimit() / 12 / 2 ** 20) * 2 ** 20
  const sample = options.number('sample', { min: 20, integer: true })
  const reading = { ...formatOf(options), memory, ...(sample !== undefined && { sample }) }
  const rows = await readTable(sourceOf(path), reading)
  const size = sizeOf(path)
  const from = `${path === undefined || path === '-' ? 'stdin' : basename(path)}${size === undefined ? '' : `, ${bytes(size)}`}`
  voice.choice('rows', `${thousands(rows.length)} of ${rows.names.length} columns from ${from}`, '--format, --delimiter')
  if (rows.seen > rows.length) voice.choice('', `a random part: the source has ${thousands(rows.seen)}`, '--memory, --sample')
  // Where there was room for all rows, the room says nothing of them.
  return { rows, reading: rows.seen > rows.length ? reading : { ...reading, memory: undefined } }
}

/** The rows with a target. */
function cleaned(rows: Table, targets: readonly string[], options: Given, voice: Voice): Table {
  // In one column of labels, none is an answer.
  const known = targets.length === 1 && options.text('task') === 'labels' ? rows : rows.complete(...targets)
  if (known.length < rows.length) voice.choice('', `${thousands(rows.length - known.length)} without a value of the target are left out`)
  if (known.length < 20)
    throw new WengertError(
      'ERR_DATA',
      `${known.length} rows with a target are too few to learn from and to test on; some dozen is the least, hundreds are better`,
    )
  return known
}

/** Columns that give the target away are left out, unless they are to be kept. */
function leaksOf(train: Table, targets: readonly string[], ignored: readonly string[], options: Given, voice: Voice): Leak[] {
  const kept = options.list('keep', (name) => train.has(name))
  checkColumns(train, 'keep', kept)
  const rows = train.without(...ignored)
  const leaks = targets.length === 1 ? findLeaks(rows, targets[0] as string).filter(({ column }) => !kept.includes(column)) : []
  for (const { column, explains } of leaks) {
    voice.choice(
      'warning',
      `${column} alone says ${percent(explains)} of the target: known only afterwards? It is left out`,
      `--keep ${column}`,
    )
  }
  if (rows.names.length - targets.length - leaks.length > 0) return leaks
  if (leaks.length > 0) voice.choice('', 'nothing else would be left: they are kept')
  return []
}

/** The best of four rates, by a few epochs each. */
async function raced(table: FittedTable, train: Table, validation: Table, recipe: Recipe): Promise<number> {
  const part = train.length > 20_000 ? train.head(20_000) : train
  const epochs = Math.max(3, Math.min(20, Math.round((200 * recipe.batchSize) / part.length)))
  const [x, y] = [table(part), table(validation.length > 5000 ? validation.head(5000) : validation)]
  let best = { rate: 1e-3, cost: Number.POSITIVE_INFINITY }
  for (const rate of [3e-4, 1e-3, 3e-3, 1e-2]) {
    const { best: cost } = await trainNetwork(table, x, y, { ...recipe, rate, epochs, patience: epochs })
    if (cost < best.cost) best = { rate, cost }
  }
  return best.rate
}

const shownScores = {
  classes: ['rocAuc', 'prAuc', 'logLoss', 'brier', 'accuracy', 'f1'],
  labels: ['rocAuc', 'prAuc', 'logLoss', 'brier', 'accuracy', 'f1'],
  numbers: ['rmse', 'mae', 'r2'],
} as const

/** Scores side by side, as lines. */
export function scoreTableText(task: keyof typeof shownScores, rows: readonly (readonly [string, TableScores])[]): string {
  const names = shownScores[task]
  return columns([['', ...names], ...rows.map(([name, scores]) => [name, ...names.map((score) => short(scores[score] as number))])])
}

function spreadText(task: keyof typeof shownScores, scores: readonly TableScores[]): string {
  return shownScores[task]
    .map((name) => {
      // An area is not defined where the rows of a fold are all of one class.
      const values = scores.map((s) => s[name] as number).filter((value) => !Number.isNaN(value))
      if (values.length === 0) return `${name} –`
      const mean = values.reduce((a, b) => a + b, 0) / values.length
      const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, values.length - 1))
      const some = values.length < scores.length ? ` (${values.length} of ${scores.length})` : ''
      return `${name} ${short(mean)} ± ${Number(deviation.toPrecision(2))}${some}`
    })
    .join(', ')
}

async function page(
  path: string,
  title: string,
  trained: Trained,
  table: FittedTable,
  test: Table,
  scores: TableScores,
  best: readonly Importance[],
  temperature: number | undefined,
  facts: string,
): Promise<void> {
  const dependence = best.slice(0, 6).flatMap(({ column }) => partialDependence(trained.model, table, test, column, { temperature }) ?? [])
  await report(trained.history, {
    path,
    title,
    model: trained.model,
    ...(scores.confusionMatrix &&
      scores.confusionMatrix.length <= 50 && { confusion: scores.confusionMatrix, classes: table.classes ?? [] }),
    importance: best.slice(0, 20),
    dependence,
    facts,
  })
}

async function run(options: Given): Promise<number> {
  const json = options.on('json')
  const voice = new Voice(json)
  const [path] = options.positionals
  if (options.positionals.length > 1) throw new Misuse(`one file at a time, and got ${options.positionals.length}`)
  if (options.list('target').length === 0) throw new Misuse('what is to be predicted? --target <column>')
  const base = path === undefined || path === '-' ? 'model' : basename(path, extname(path))
  const out = options.text('out') ?? `${base}.wengert`
  const reportPath = options.text('report') ?? `${base}.html`
  const eject = options.text('eject')
  checkWritable('out', out)
  if (reportPath !== 'none') checkWritable('report', reportPath)
  if (eject !== undefined) checkWritable('eject', eject)
  const all = await read(path, options, voice)
  const isColumn = (name: string) => all.rows.has(name)
  const targets = options.list('target', isColumn)
  checkColumns(all.rows, 'target', targets)
  const ignored = options.list('ignore', isColumn)
  checkColumns(all.rows, 'ignore', ignored)
  const wanted = targets.find((name) => ignored.includes(name))
  if (wanted !== undefined) throw new Misuse(`--ignore leaves out the target '${wanted}': which of the two is it?`)
  const rows = cleaned(all.rows, targets, options, voice)
  const how = splitOf(rows, targets, options)
  const [train, validation, test] = parted(rows, how)
  const leaks = leaksOf(train, targets, ignored, options, voice)
  const specs = specsOf(train, targets, ignored, leaks, options)
  const table = fitTable(train, { target: targets.length === 1 ? (targets[0] as string) : targets, columns: specs })
  const choices = choicesOf(table, train, specs, how, options)
  heading(voice, table, choices, [train, validation, test])
  const sets = [table(train), table(validation)] as const
  // What cannot be scored later is said now.
  table(test)
  const crossing = foldsOf(rows, choices, options.number('folds', { min: 2, max: 100, integer: true }))
  const recipe =
    options.text('rate') === undefined ? { ...choices.recipe, rate: await raced(table, train, validation, choices.recipe) } : choices.recipe
  const chosen: Choices = { ...choices, recipe }
  voice.choice('rate', short(recipe.rate), '--rate')
  const trained = await trainNetwork(table, ...sets, recipe, process.stderr.isTTY ? [progress({ title: 'training' })] : [])
  const { model, history, bestEpoch } = trained
  const ran = history.epochs.length
  voice.choice('trained', `${ran} epochs in ${short(history.seconds)} s; the best, ${bestEpoch}, is kept`, '--epochs, --patience')
  const set = settled(model, table, validation, choices)
  if (set.temperature !== undefined) voice.choice('calibrated', `temperature ${short(set.temperature)}`, '--no-calibrate')
  if (set.threshold !== undefined) voice.choice('threshold', `${short(set.threshold)} for ${table.classes?.at(-1)}`, '--threshold')
  const linear = await trainNetwork(table, ...sets, { ...recipe, hidden: [], dropout: 0 })
  const scores = await scoreTable(model, table, test, set)
  const linearScores = await scoreTable(linear.model, table, test, settled(linear.model, table, validation, choices))
  const constantScores = await scoreTable(constantModel(table, sets[0]), table, test)
  const baseline = table.task === 'numbers' ? 'the mean' : 'the shares'
  voice.say('')
  voice.say(`On the ${thousands(test.length)} rows held out:`)
  voice.say(
    scoreTableText(table.task, [
      ['network', scores],
      ['linear', linearScores],
      [baseline, constantScores],
    ]),
  )
  const better =
    table.task === 'numbers'
      ? (scores.rmse as number) < (constantScores.rmse as number)
      : (scores.logLoss as number) < (constantScores.logLoss as number)
  if (!better)
    voice.say(
      `It has learned nothing that ${baseline} ${table.task === 'numbers' ? 'does' : 'do'} not say: are the columns about the target?`,
    )
  const importance = permutationImportance(model, table, test, { seed: recipe.seed, temperature: set.temperature })
  const useful = importance.filter(({ importance: gain, spread }) => gain > Math.max(0, spread))
  if (better && useful.length > 0)
    voice.say(
      `\nmost useful: ${useful
        .slice(0, 6)
        .map(({ column }) => column)
        .join(', ')}`,
    )
  const crossed = await crossValidated(crossing, chosen)
  if (crossed.length > 0) voice.say(`${crossed.length} folds: ${spreadText(table.task, crossed)}`)
  const metadata = {
    source: base,
    rows: train.length,
    scores: { ...scores, confusionMatrix: undefined },
    createdAt: new Date().toISOString(),
  }
  await saveModel(model, out, { table, ...set, metadata })
  const made = [out]
  if (reportPath !== 'none') {
    const facts = `${thousands(test.length)} rows held out:\n${scoreTableText(table.task, [
      ['network', scores],
      ['linear', linearScores],
      [baseline, constantScores],
    ])}\n\n${String(table)}`
    await page(reportPath, `${targets.join(', ')}, learned from ${base}`, trained, table, test, scores, useful, set.temperature, facts)
    made.push(reportPath)
  }
  if (eject !== undefined) {
    await writeFile(
      eject,
      ejected({
        path: path ?? '-',
        read: all.reading,
        target: targets,
        table,
        choices: chosen,
        out,
      }),
    )
    made.push(eject)
  }
  voice.say(`wrote ${made.join(', ')}`)
  if (json) {
    await written(
      `${JSON.stringify({
        rows: { train: train.length, validation: validation.length, test: test.length },
        task: table.task,
        target: table.target,
        classes: table.classes,
        columns: table.columns.map(({ spec: _, ...rest }) => rest),
        leaks: leaks.map(({ column }) => column),
        recipe,
        ...set,
        epochs: ran,
        bestEpoch,
        seconds: history.seconds,
        scores,
        baselines: { linear: linearScores, constant: constantScores },
        folds: crossed,
        importance,
        files: made,
      })}\n`,
    )
  }
  return 0
}

export const train = (args: readonly string[]): Promise<number> =>
  answered('train', async () => {
    const options = given(args, flags)
    if (!options.on('help')) return run(options)
    await written(
      helpOf(usage, 'Trains a network on the rows of a CSV or of JSON lines, and compares it with simpler models on rows held out.', flags),
    )
    return 0
  })
