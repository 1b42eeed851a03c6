/** A training as one page to look at: a single HTML file without scripts, that needs nothing but itself. */

import type { DataLike } from '../data/dataset.js'
import { WengertError } from '../errors.js'
import { checkPath, writeAtomic } from '../io/atomic.js'
import { Module } from '../nn/module.js'
import type { Dependence, Importance } from '../table/explain.js'
import { checkOptions, describe } from '../util/options.js'
import type { EpochRecord, History } from './history.js'
import { chart, escape, figure, type Line, matrix, table } from './report-charts.js'
import { imageFigures } from './report-images.js'
import { colors, style } from './report-style.js'
import { dependenceFigure, importanceFigure } from './report-tables.js'

/** Where a report goes, and what it shows besides the histories. */
export interface ReportOptions {
  /** Where the page is written, whole or not at all. */
  path: string
  /** Its summary is shown. */
  model?: Module | undefined
  /** counts[c][k] of class c predicted as k; the last validation's `confusionMatrix` by default. */
  confusion?: readonly (readonly number[])[] | undefined
  /** Names of the classes, for the matrix; 0, 1, … by default. */
  classes?: readonly string[] | undefined
  /** 'Training' by default. */
  title?: string | undefined
  /** Of `permutationImportance`. */
  importance?: readonly Importance[] | undefined
  /** Of `partialDependence`, one figure each. */
  dependence?: readonly Dependence[] | undefined
  /** Images [m, C, H, W] and their classes: samples are shown, and with `model` its first layer's filters and its wrong answers. */
  images?: DataLike | undefined
  /** Lines of plain text, such as what was chosen. */
  facts?: string | undefined
}

/** One history, several to compare, or several by names of your own. */
export type Histories = History | readonly History[] | Readonly<Record<string, History>>

const isHistory = (value: unknown): value is History =>
  typeof value === 'object' && value !== null && Array.isArray((value as { epochs?: unknown }).epochs) && 'trainer' in value

/** Histories by name; equal names of trainers are numbered. Errors: ERR_VALUE. */
function named(histories: unknown): [string, History][] {
  const list: [string | undefined, unknown][] = isHistory(histories)
    ? [[undefined, histories]]
    : Array.isArray(histories)
      ? histories.map((h) => [undefined, h])
      : Object.entries((histories ?? {}) as object)
  const used = new Set<string>()
  const out = list.map(([given, history]): [string, History] => {
    if (!isHistory(history))
      throw new WengertError('ERR_VALUE', `report: expected histories of fits, got ${describe(history)}`, { actual: history })
    const base = given ?? history.trainer
    let name = base
    for (let i = 2; used.has(name); i++) name = `${base} ${i}`
    used.add(name)
    return [name, history]
  })
  if (out.length === 0) throw new WengertError('ERR_VALUE', 'report: there is no history to show; give at least one')
  return out
}

function checkConfusion(counts: unknown, classes: readonly string[] | undefined): void {
  const square = Array.isArray(counts) && counts.length > 0 && counts.every((row) => Array.isArray(row) && row.length === counts.length)
  if (!square)
    throw new WengertError('ERR_SHAPE', `report: expected a square confusion matrix, got ${describe(counts)}`, { actual: counts })
  const { length } = counts as unknown[]
  if (classes && classes.length !== length)
    throw new WengertError('ERR_SHAPE', `report: expected ${length} names of classes, got ${classes.length}`, {
      expected: length,
      actual: classes.length,
    })
}

type Read = (record: EpochRecord) => number | undefined

/** A curve of each history that has the number. */
function lines(histories: readonly [string, History][], reads: readonly { suffix: string; dashed?: boolean; read: Read }[]): Line[] {
  return histories.flatMap(([name, { epochs }], i) =>
    reads.flatMap(({ suffix, dashed = false, read }) => {
      const known = epochs.filter((record) => read(record) !== undefined)
      if (known.length === 0) return []
      const label = histories.length > 1 ? `${name}${suffix && `, ${suffix}`}` : suffix || name
      return [{ label, dashed, color: i % colors.length, x: known.map((r) => r.epoch), y: known.map((r) => read(r) as number) }]
    }),
  )
}

const both = (read: (scores: EpochRecord | NonNullable<EpochRecord['validation']>) => number | undefined) => [
  { suffix: 'training', read },
  { suffix: 'validation', dashed: true, read: (r: EpochRecord) => (r.validation ? read(r.validation) : undefined) },
]

/** Curves of the health of each parameter of one history. */
function healthLines([, { epochs }]: [string, History], read: (health: NonNullable<EpochRecord['health']>[string]) => number): Line[] {
  const known = epochs.filter((r) => r.health)
  return Object.keys(known[0]?.health ?? {}).map((name, i) => ({
    label: name,
    color: i % colors.length,
    dashed: i >= colors.length,
    x: known.map((r) => r.epoch),
    y: known.map((r) => {
      const health = r.health?.[name]
      return health ? read(health) : NaN
    }),
  }))
}

function summaryOf(histories: readonly [string, History][]): string {
  const number = (value: number | undefined, text: (v: number) => string = figure) => (value === undefined ? '' : text(value))
  const share = (v: number) => `${(100 * v).toFixed(1)} %`
  const rows = histories.map(([name, { last, epochs, updates, seconds, seed, stopped }]) => [
    name,
    String(epochs.length),
    updates.toLocaleString('en'),
    `${figure(seconds)} s`,
    number(last?.cost),
    number(last?.accuracy, share),
    number(last?.validation?.cost),
    number(last?.validation?.accuracy, share),
    stopped,
    String(seed),
  ])
  const head = ['', 'epochs', 'updates', 'time', 'cost', 'accuracy', 'validation cost', 'validation accuracy', 'stopped by', 'seed']
  // Columns that nobody filled say nothing.
  const used = head.map((_, i) => rows.some((row) => row[i] !== ''))
  const keep = (row: readonly string[]) => row.filter((_, i) => used[i])
  return table(keep(head), rows.map(keep))
}

/**
 * Writes a training, or several to compare, as one HTML page: curves of cost, accuracy and learning rate, gradient norms
 * (of fits with `health: true`), the confusion matrix, images with the model's filters and wrong answers, its summary; light or dark as the reader's system is.
 *
 * @throws (rejects) ERR_VALUE, ERR_SHAPE, ERR_OPTION; ERR_FILE
 * @example await report([fbgd, sgd, mbsgd], { path: 'digits.html', model, title: 'Digits' })
 */
export async function report(histories: Histories, options: ReportOptions): Promise<void> {
  checkOptions('report', options, ['path', 'model', 'confusion', 'classes', 'title', 'importance', 'dependence', 'images', 'facts'])
  const { model, classes, title = 'Training' } = options ?? {}
  const path = checkPath('report', options?.path)
  if (model !== undefined && !(model instanceof Module))
    throw new WengertError('ERR_VALUE', `report: expected model to be a Module, got ${describe(model)}`, { actual: model })
  const all = named(histories)
  const confusions = options.confusion
    ? [['Confusion matrix', options.confusion] as const]
    : all.flatMap(([name, { last }]) => {
        const counts = last?.validation?.confusionMatrix
        return counts ? [[`Confusion matrix${all.length > 1 ? `, ${name}` : ''}`, counts] as const] : []
      })
  for (const [, counts] of confusions) checkConfusion(counts, classes)
  const parts = [
    options.facts ? `<figure class="wide"><figcaption>Scores and columns</figcaption><pre>${escape(options.facts)}</pre></figure>` : '',
    chart(
      'Cost',
      'epoch',
      lines(
        all,
        both((r) => r.cost),
      ),
    ),
    chart(
      'Accuracy',
      'epoch',
      lines(
        all,
        both((r) => r.accuracy),
      ),
    ),
    // On a page that is of the data, a rate that stays the same says nothing.
    options.facts !== undefined && all.every(([, { epochs }]) => new Set(epochs.map((r) => r.learningRate)).size === 1)
      ? ''
      : chart('Learning rate', 'epoch', lines(all, [{ suffix: '', read: (r) => r.learningRate }])),
    ...all.flatMap((entry) => {
      const of = all.length > 1 ? `, ${entry[0]}` : ''
      return [
        chart(
          `Gradient norm of each parameter${of}`,
          'epoch',
          healthLines(entry, (h) => h.gradientNorm),
        ),
        chart(
          `Update length relative to the parameter${of}`,
          'epoch',
          healthLines(entry, (h) => h.updateRatio),
        ),
      ]
    }),
    ...confusions.map(([name, counts]) => matrix(name, counts, classes ?? counts.map((_, c) => String(c)))),
    ...(options.images === undefined ? [] : imageFigures(options.images, model, classes)),
    importanceFigure(options.importance ?? []),
    ...(options.dependence ?? []).map(dependenceFigure),
    model ? `<figure><figcaption>Model</figcaption><pre>${escape(model.summary())}</pre></figure>` : '',
  ]
  const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escape(title)}</title>
<link rel="icon" href="data:,"><style>${style}</style></head>
<body><h1>${escape(title)}</h1>
${summaryOf(all)}
<div class="charts">
${parts.filter((part) => part !== '').join('\n')}
</div></body></html>
`
  await writeAtomic(path, [new TextEncoder().encode(page)], { where: 'report' })
}
