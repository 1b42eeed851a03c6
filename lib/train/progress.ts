/**
 * A training's progress on a terminal: one line, rewritten after each epoch; a few plain lines where the stream is no
 * terminal. The clock is the records' own, so that what is written depends on them alone.
 */

import { rank } from '../distributed/world.js'
import { checkNumber, checkOptions } from '../util/options.js'
import type { Callback, FitOutline, Watched } from './callbacks.js'
import type { EpochRecord } from './history.js'

/** What the line needs of a stream; `process.stderr` and `process.stdout` have it. */
export interface ProgressStream {
  /** Takes a piece of text. */
  write(text: string): unknown
  readonly isTTY?: boolean
  /** The terminal's width in characters; 80 where it is not known. */
  readonly columns?: number
}

/** Of `progress`. */
export interface ProgressOptions {
  /** How many epochs the fit will make; among a fit's `callbacks` it is told. */
  epochs?: number | undefined
  /** What stands at the beginning of the line, such as the trainer and the network. */
  title?: string | undefined
  /** Where to write; `process.stderr` by default, so that `process.stdout` holds results alone. */
  stream?: ProgressStream | undefined
}

/** To be given to a fit as one of its `callbacks`, or as `onEpoch`. */
export interface ProgressLine extends Pick<Callback, 'onStart' | 'onEpoch' | 'onEnd'> {
  (epoch: EpochRecord): void
  /** Ends the line of a fit that stopped before its last epoch, so that what is printed next starts on its own. */
  end(): void
}

/** Seconds between two paintings of the live line. */
const repaint = 0.05
/** Seconds after which a plain line is written though no further quarter of the epochs has passed. */
const patience = 10
const barWidth = 20

/**
 * A progress line for `fit`: epoch, cost, the validation's cost and accuracy where there are any, updates a second and the
 * seconds left. On a terminal (unless `CI` is set or `TERM` is `dumb`) one line is rewritten, cut to the columns; elsewhere a
 * line is written at every quarter of the epochs and after ten seconds without one.
 *
 * @throws ERR_OPTION, ERR_RANGE
 * @example await trainer.fit(data, { epochs: 30, callbacks: [progress({ title: trainer.name })] })
 */
export function progress(options: ProgressOptions = {}): ProgressLine {
  checkOptions('progress', options, ['epochs', 'title', 'stream'])
  let epochs = options.epochs === undefined ? undefined : checkNumber('progress', 'epochs', options.epochs, { integer: true, min: 1 })
  const stream = options.stream ?? process.stderr
  const { CI, TERM } = process.env
  const live = stream.isTTY === true && !CI && TERM !== 'dumb'
  /** The first record of the fit, the last one, and the one on the screen. */
  let first: EpochRecord | undefined
  let last: EpochRecord | undefined
  let shown: EpochRecord | undefined

  /** Of several processes the first one writes. */
  const quiet = () => options.stream === undefined && rank > 0

  const doneAt = (record: EpochRecord) => record.epoch - (first as EpochRecord).epoch + 1
  const show = (record: EpochRecord) => {
    shown = record
    if (quiet()) return
    const fields = fieldsOf(record, first as EpochRecord, epochs)
    const title = options.title === undefined ? [] : [options.title]
    if (live) stream.write(`\r${cut([...title, position(doneAt(record), epochs), ...fields], (stream.columns || 80) - 1)}\x1b[K`)
    else stream.write(`${[...title, `epoch ${doneAt(record)}${epochs === undefined ? '' : `/${epochs}`}`, ...fields].join('  ')}\n`)
  }
  const end = () => {
    if (last && last !== shown) show(last)
    if (last && live && !quiet()) stream.write('\n')
    first = last = shown = undefined
  }
  const onEpoch = (record: EpochRecord) => {
    first ??= record
    last = record
    const waited = record.seconds - (shown?.seconds ?? 0)
    const quarter = (of: EpochRecord | undefined) => (of && epochs !== undefined ? Math.floor((4 * doneAt(of)) / epochs) : 0)
    if (live ? !shown || waited >= repaint : quarter(record) > quarter(shown) || waited >= patience) show(record)
    if (epochs !== undefined && doneAt(record) >= epochs) end()
  }
  return Object.assign((record: EpochRecord) => onEpoch(record), {
    end,
    onStart: (_trainer: Watched, fit: FitOutline) => {
      end()
      epochs = options.epochs ?? fit.epochs
    },
    onEpoch,
    onEnd: end,
  })
}

/** `epoch 17/30 ━━━━━━━━━━━╸────────`, of one width throughout. */
function position(done: number, epochs: number | undefined): string {
  if (epochs === undefined) return `epoch ${done}`
  const halves = Math.min(2 * barWidth, Math.floor((2 * barWidth * done) / epochs))
  const bar = `${'━'.repeat(halves >> 1)}${halves % 2 ? '╸' : ''}`.padEnd(barWidth, '─')
  return `epoch ${String(done).padStart(String(epochs).length)}/${epochs} ${bar}`
}

/** What is known after an epoch, the most important first. */
function fieldsOf(record: EpochRecord, first: EpochRecord, epochs: number | undefined): string[] {
  const { cost, validation } = record
  const accuracy = validation?.accuracy ?? record.accuracy
  const done = record.epoch - first.epoch + 1
  // The first epoch's record tells when it ended, not what it took: rates are of those after it.
  const rate = (record.updates - first.updates) / (record.seconds - first.seconds)
  const left = epochs === undefined ? 0 : (record.seconds / done) * (epochs - done)
  return [
    `cost ${cost.toPrecision(3)}`,
    ...(validation ? [`val ${validation.cost.toPrecision(3)}`] : []),
    ...(accuracy === undefined ? [] : [`acc ${(100 * accuracy).toFixed(1)} %`]),
    ...(Number.isFinite(rate) ? [`${count(rate)} updates/s`] : []),
    epochs !== undefined && done < epochs ? `${Math.round(left)} s left` : `${record.seconds.toFixed(2)} s`,
  ]
}

/** Two significant digits and thousands apart: 88,000. */
function count(x: number): string {
  const rounded = x < 100 ? Math.round(x) : Number(x.toPrecision(2))
  return String(rounded).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** As many fields as fit; the first is cut where even it does not. */
function cut(fields: readonly string[], columns: number): string {
  let n = fields.length
  while (n > 1 && fields.slice(0, n).join('  ').length > columns) n--
  return fields.slice(0, n).join('  ').slice(0, Math.max(0, columns))
}
