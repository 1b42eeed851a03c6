/** Columns of numbers and of truth values: scaled by the training part; a missing one takes the median's place and says so. */

import { checkChoice, checkOptions } from '../util/options.js'
import { anyNumberIn, commaNumberIn, missingTexts, truthIn } from './cell.js'
import { type ColumnSpec, type Encoding, encodingVersion, Fields, type Raw, refused } from './encoding.js'
import { median, momentsOf, quantilesWithin } from './statistics.js'
import type { ColumnView, Room } from './table.js'

/** How a number is scaled. */
export type Scale = 'standard' | 'quantiles' | 'none'

/** Of `number`. */
export interface NumberOptions {
  /**
   * 'standard': (x − mean) / standard deviation, of the training part; 'quantiles': the share of training values below it,
   * between −√3 and √3 (mean 0, variance 1), for columns with far outliers; 'none'. 'standard' by default.
   */
  scale?: Scale
  /** Take sign(x) ln(1 + |x|) first, for amounts that spread over magnitudes; false by default. */
  log?: boolean
  /** What divides the fraction of a number that is given as text: ',' as in 1.234,5; '.' by default. */
  decimal?: ','
  /** Whether a record may lack the column. */
  optional?: boolean
}

/**
 * A column of numbers. A missing one becomes the training part's median, beside a feature that says that it was missing
 * (where any was in training).
 *
 * @example fitTable(train, { target: 'churned', columns: { spend: number({ log: true }) } })
 */
export function number(options: NumberOptions = {}): ColumnSpec<'number'> {
  checkOptions('number', options, ['scale', 'log', 'decimal', 'optional'])
  if (options.scale !== undefined) checkChoice('number', 'scale', options.scale, ['standard', 'quantiles', 'none'] as const)
  if (options.decimal !== undefined) checkChoice('number', 'decimal', options.decimal, [','] as const)
  return { kind: 'number', ...options }
}

/** A column of truth values: true and false, yes and no, 1 and 0. */
export function boolean(options: { optional?: boolean } = {}): ColumnSpec<'boolean'> {
  checkOptions('boolean', options, ['optional'])
  return { kind: 'boolean', ...options }
}

const signedLog = (x: number): number => (x < 0 ? -Math.log1p(-x) : Math.log1p(x))
const signedExp = (z: number): number => (z < 0 ? -Math.expm1(-z) : Math.expm1(z))

/** How numbers are scaled, and back. */
export interface Scaling {
  readonly log: boolean
  readonly mean: number
  readonly deviation: number
  /** Values of the training part at equal steps of its distribution, growing; where it is scaled by quantiles. */
  readonly quantiles?: readonly number[]
}

/** The share of values below x, with straight lines between the known quantiles. */
function shareBelow(quantiles: readonly number[], x: number): number {
  const last = quantiles.length - 1
  if (!(x > (quantiles[0] as number))) return x === quantiles[0] ? firstEnd(quantiles, 0) / 2 / last : 0
  if (!(x < (quantiles[last] as number))) return 1
  let [low, high] = [0, last]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((quantiles[middle] as number) <= x) low = middle
    else high = middle
  }
  const from = quantiles[low] as number
  // Many values alike: the middle of their share.
  if (from === x) {
    let begin = low
    while (begin > 0 && quantiles[begin - 1] === x) begin--
    return (begin + low) / 2 / last
  }
  return (low + (x - from) / ((quantiles[high] as number) - from)) / last
}

function firstEnd(quantiles: readonly number[], from: number): number {
  let end = from
  while (quantiles[end + 1] === quantiles[from]) end++
  return end
}

const spread = Math.sqrt(12)

/** The scaled value of x. */
export function scaled({ log, mean, deviation, quantiles }: Scaling, x: number): number {
  if (quantiles) return (shareBelow(quantiles, x) - 0.5) * spread
  return ((log ? signedLog(x) : x) - mean) / deviation
}

/** The value that was scaled to z (not by quantiles). */
export function unscaled({ log, mean, deviation }: Scaling, z: number): number {
  const x = z * deviation + mean
  return log ? signedExp(x) : x
}

/** Fits a scaling to numbers without NaN; a constant becomes 0. Reorders and changes `values`. */
export function fitScaling(values: Float64Array, scale: Scale, log: boolean): Scaling {
  if (scale === 'quantiles' && values.length > 0)
    return { log: false, mean: 0, deviation: 1, quantiles: quantilesWithin(values, Math.min(256, Math.max(2, values.length))) }
  if (scale === 'none') return { log, mean: 0, deviation: 1 }
  if (log) for (let i = 0; i < values.length; i++) values[i] = signedLog(values[i] as number)
  const { mean, deviation } = momentsOf(values)
  return { log, mean, deviation: deviation > 0 ? deviation : 1 }
}

/** What fitted numbers and truth values share. */
interface Fitted {
  name: string
  kind: 'number' | 'boolean'
  optional: boolean
  scaling: Scaling
  /** What stands for a missing value. */
  fill: number
  /** Whether a feature of its own says that it was missing. */
  indicator: boolean
  decimal?: ','
}

function encoding(fitted: Fitted): Encoding {
  const { name, kind, optional, scaling, fill, indicator, decimal } = fitted
  const parse = decimal === ',' ? commaNumberIn : anyNumberIn
  const filled = scaled(scaling, fill)
  const read =
    kind === 'number'
      ? (value: number | string | Date | undefined, where: () => string): Raw => {
          if (value === undefined || typeof value === 'number') return value
          const found = typeof value === 'string' ? parse(value) : undefined
          if (found === undefined && missingTexts.has(value as string)) return undefined
          if (found === undefined) throw refused(where, decimal ? 'a number with a decimal comma' : 'a number', value)
          return found
        }
      : (value: number | string | Date | undefined, where: () => string): Raw => {
          if (value === undefined || value === 0 || value === 1) return value
          const found = typeof value === 'string' ? truthIn(value) : undefined
          if (found === undefined && missingTexts.has(value as string)) return undefined
          if (found === undefined) throw refused(where, 'a truth value (true or false, yes or no, 1 or 0)', value)
          return found
        }
  const how = scaling.quantiles ? 'by quantiles' : `${scaling.log ? 'logarithm, ' : ''}standardised`
  const features = indicator ? [name, `${name} missing`] : [name]
  return {
    name,
    kind,
    optional,
    columns: features,
    features,
    says: `${kind === 'boolean' ? 'yes or no' : `number, ${how}`}${indicator ? '; missing values marked' : ''}`,
    read,
    write(raw, out, at) {
      // A column of numbers has NaN for a missing one.
      const missing = raw === undefined || Number.isNaN(raw)
      out[at] = missing ? filled : scaled(scaling, raw as number)
      if (indicator) out[at + 1] = missing ? 1 : 0
    },
    toJSON: () => ({ version: encodingVersion, ...fitted, scaling: { ...scaling } }),
  }
}

/** The column's values that are not missing, as numbers, in the room's list; texts are read as `read` says. */
function presentOf(view: ColumnView, kind: 'number' | 'boolean', room: Room, decimal?: ','): Float64Array {
  if (view.type === 'number' && kind === 'number') return view.present(room)
  const { read } = encoding({
    name: view.name,
    kind,
    optional: false,
    scaling: { log: false, mean: 0, deviation: 1 },
    fill: 0,
    indicator: false,
    ...(decimal && { decimal }),
  })
  const out = room.of(view.length)
  let count = 0
  for (let i = 0; i < out.length; i++) {
    const value = read(view.at(i), () => `fitTable: row ${i}, column '${view.name}'`) as number | undefined
    if (value !== undefined) out[count++] = value
  }
  return out.subarray(0, count)
}

export function fitNumber(view: ColumnView, spec: NumberOptions, room: Room): Encoding {
  const { scale = 'standard', log = false, decimal } = spec
  const scaling = fitScaling(presentOf(view, 'number', room, decimal), scale, log)
  const values = presentOf(view, 'number', room, decimal)
  return encoding({
    name: view.name,
    kind: 'number',
    optional: spec.optional ?? false,
    scaling,
    fill: values.length > 0 ? median(values) : 0,
    indicator: values.length < view.length,
    ...(decimal && { decimal }),
  })
}

export function fitBoolean(view: ColumnView, spec: { optional?: boolean }, room: Room): Encoding {
  const values = presentOf(view, 'boolean', room)
  const scaling = fitScaling(values, 'standard', false)
  return encoding({
    name: view.name,
    kind: 'boolean',
    optional: spec.optional ?? false,
    scaling,
    // A truth value has no median worth the name: the mean, which becomes 0.
    fill: scaling.mean,
    indicator: values.length < view.length,
  })
}

/** Reads a scaling back. Errors: ERR_VALUE. */
export function scalingFromJSON(json: unknown, where: string): Scaling {
  const f = new Fields((typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>, where)
  const scaling = { log: f.flag('log'), mean: f.number('mean'), deviation: f.number('deviation', Number.MIN_VALUE) }
  if (f.json.quantiles === undefined) return scaling
  const quantiles = f.numbers('quantiles')
  if (quantiles.length < 2 || quantiles.length > 1024 || quantiles.some((q, i) => i > 0 && q < (quantiles[i - 1] as number)))
    throw f.fail('quantiles', 'growing numbers')
  return { ...scaling, quantiles }
}

export function numberFromJSON(f: Fields): Encoding {
  return encoding({
    name: f.text('name'),
    kind: f.text('kind') === 'boolean' ? 'boolean' : 'number',
    optional: f.flag('optional'),
    scaling: scalingFromJSON(f.json.scaling, f.where),
    fill: f.number('fill'),
    indicator: f.flag('indicator'),
    ...(f.json.decimal === ',' && { decimal: ',' as const }),
  })
}
