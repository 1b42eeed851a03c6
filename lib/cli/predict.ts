/** `wengert predict`: rows in, rows with their predictions out, batch by batch, so that files and pipes may be of any length. */

import { type FittedTable, type LoadedModel, loadModel, streamTable, type Table, type TablePrediction, WengertError } from '../index.js'
import { answered, type Flag, type Given, given, helpOf, Misuse } from './arguments.js'
import { formatOf, readFlags, sourceOf, written } from './source.js'

const flags: Readonly<Record<string, Flag>> = {
  output: { value: 'csv|jsonl', says: 'of what is written; as what is read otherwise' },
  only: { says: 'write the predictions without the columns that were read' },
  probabilities: { says: 'write the probability of every class or label' },
  format: readFlags.format as Flag,
  delimiter: readFlags.delimiter as Flag,
  help: readFlags.help as Flag,
}

const usage = 'wengert predict <model> [file | -] [flags] > scored.csv'

const quoted = /[",\r\n]|^\s|\s$/

/** A field of a CSV: quoted where it must be. */
const field = (value: unknown): string => {
  const text = value === null || value === undefined ? '' : Array.isArray(value) ? value.join(';') : String(value)
  return quoted.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** The model, if it has a table. */
export async function loaded(path: string | undefined): Promise<LoadedModel & { table: FittedTable }> {
  if (path === undefined) throw new Misuse('which model? Give the path of a .wengert file')
  const model = await loadModel(path)
  if (!model.table) throw new Misuse(`${path} was saved without a table: it answers to tensors, in a program, and not to rows`)
  return model as LoadedModel & { table: FittedTable }
}

/** Rows without columns that the model does not know; what they are is said once. */
export function known(rows: Table, table: FittedTable, said: Set<string>): Table {
  const names = new Set(table.columns.map(({ name }) => name))
  const extra = rows.names.filter((name) => !names.has(name))
  const fresh = extra.filter((name) => !said.has(name))
  if (fresh.length > 0)
    process.stderr.write(
      `columns that the model does not know pass through: ${fresh.slice(0, 20).join(', ')}${fresh.length > 20 ? ', …' : ''}\n`,
    )
  for (const name of extra) said.add(name)
  return extra.length === 0 ? rows : rows.without(...extra)
}

/** Runs what is asked of a batch after so many rows: what it refuses is told by the row of the source, the first of which is 1. */
export function ofRows<T>(before: number, body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (!(error instanceof WengertError)) throw error
    throw new WengertError(
      error.code,
      error.message.replace(/^table: row (\d+)/, (_, row) => `row ${before + Number(row) + 1}`),
    )
  }
}

/** What is written of a prediction, by name; names that the rows have already get a word before them. */
function cellsOf(prediction: TablePrediction, table: FittedTable, taken: ReadonlySet<string>, all: boolean): [string, unknown][] {
  const free = (name: string) => (taken.has(name) ? `predicted ${name}` : name)
  const cells: [string, unknown][] = table.target.map((name) => [free(name), prediction[name]])
  if (prediction.probability !== undefined) cells.push([free('probability'), prediction.probability])
  if (all) for (const [name, p] of Object.entries(prediction.probabilities ?? {})) cells.push([free(`probability ${name}`), p])
  return cells
}

/** The first line of a CSV. Throws Misuse where it was another. */
function sameHead(head: string | undefined, names: readonly string[]): string {
  const line = names.map(field).join(',')
  if (head !== undefined && line !== head) throw new Misuse('the rows have not all the same columns, as a CSV must; --output jsonl')
  return line
}

async function run(options: Given): Promise<number> {
  const [modelPath, path, ...more] = options.positionals
  if (more.length > 0) throw new Misuse(`one file at a time, and got ${1 + more.length}`)
  const output = options.text('output')
  if (output !== undefined && output !== 'csv' && output !== 'jsonl')
    throw new Misuse(`--output is csv or jsonl, and got '${output.slice(0, 40)}'`)
  const model = await loaded(modelPath)
  const reading = formatOf(options)
  const said = new Set<string>()
  let head: string | undefined
  let count = 0
  for await (const rows of streamTable(sourceOf(path), { ...reading, missingValues: [] })) {
    const predictions = ofRows(count, () => model.predictRecords(known(rows, model.table, said)))
    const names = options.on('only') ? [] : rows.names
    const views = names.map((name) => rows.column(name))
    const taken = new Set(names)
    // Records come from JSON lines.
    const jsonl = (output ?? (rows.asGiven(0) && 'jsonl')) === 'jsonl'
    const lines = predictions.map((prediction, i) => {
      const cells = cellsOf(prediction, model.table, taken, options.on('probabilities'))
      const given = rows.asGiven(i)
      const valueOf = (view: (typeof views)[0]) => (given && Object.hasOwn(given, view.name) ? given[view.name] : view.at(i))
      if (jsonl) return JSON.stringify(Object.fromEntries([...views.map((view) => [view.name, valueOf(view) ?? null]), ...cells]))
      // All rows of a batch have the same columns.
      if (i === 0) head = sameHead(head, [...names, ...cells.map(([name]) => name)])
      let line = ''
      for (const view of views) line += `${field(view.at(i))},`
      return line + cells.map(([, value]) => field(value)).join(',')
    })
    if (!jsonl && count === 0) lines.unshift(head as string)
    count += rows.length
    await written(`${lines.join('\n')}\n`)
  }
  if (count === 0) throw new WengertError('ERR_DATA', 'the source has no rows')
  return 0
}

export const predict = (args: readonly string[]): Promise<number> =>
  answered('predict', async () => {
    const options = given(args, flags)
    if (!options.on('help')) return run(options)
    await written(helpOf(usage, 'Answers to every row of a CSV or of JSON lines, and writes the rows with the answers.', flags))
    return 0
  })
