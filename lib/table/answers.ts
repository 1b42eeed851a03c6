/** From a model's outputs to answers: probabilities of classes and labels, numbers in their own units. */

import { WengertError } from '../errors.js'
import type { OutputKind } from '../nn/loss-contract.js'
import type { TypedArray } from '../util/dtype.js'
import { checkNumber, describe } from '../util/options.js'
import { softmaxInto } from '../util/scores.js'
import { type Scaling, unscaled } from './number.js'
import type { Target } from './target.js'

/** What is known of a model besides its weights, where it predicts a table's target. */
export interface AnswerOptions {
  /** What the outputs are; as the loss took them that the model was trained with, logits where nothing says so. */
  outputs?: OutputKind | undefined
  /** The probability from which the second of two classes, or a label, is predicted; 0.5 by default. */
  threshold?: number | undefined
  /** What logits are divided by, so that probabilities are as sure as they are right (`calibrate`); 1 by default. */
  temperature?: number | undefined
}

/** A prediction: the target's name with what is predicted; of classes and labels also how probable it is. */
export interface TablePrediction {
  /** Of the predicted class. */
  readonly probability?: number
  /** Of every class or label, by name. */
  readonly probabilities?: Readonly<Record<string, number>>
  readonly [target: string]: unknown
}

/** Sets a property of its own, whatever its name is. */
function put(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })
  else object[name] = value
}

const named = (names: readonly string[], values: ArrayLike<number>, from: number): Record<string, number> => {
  const out: Record<string, number> = {}
  for (let i = 0; i < names.length; i++) put(out, names[i] as string, values[from + i] as number)
  return out
}

const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))
const logit = (p: number): number => Math.log(p) - Math.log1p(-p)

/** Checks what a target can be answered with. Errors: ERR_OPTION, ERR_RANGE. */
export function checkAnswerOptions(where: string, target: Target, { outputs, threshold, temperature }: AnswerOptions): void {
  if (threshold !== undefined) {
    checkNumber(where, 'threshold', threshold, { min: 0, max: 1, exclusive: true })
    if (target.task === 'numbers' || (target.task === 'classes' && target.outputs !== 2))
      throw new WengertError('ERR_OPTION', `${where}: a threshold is for two classes or for labels; the target is ${target.says}`)
  }
  if (temperature !== undefined) {
    checkNumber(where, 'temperature', temperature, { min: 0, exclusive: true })
    if (target.task === 'numbers')
      throw new WengertError('ERR_OPTION', `${where}: a temperature is for classes or labels; the target is ${target.says}`)
  }
  const fits: readonly (OutputKind | undefined)[] =
    target.task === 'numbers'
      ? ['values', undefined]
      : target.task === 'labels'
        ? ['logits', 'probabilities', undefined]
        : ['classLogits', 'logits', 'probabilities', 'logProbabilities', undefined]
  if (!fits.includes(outputs))
    throw new WengertError('ERR_OPTION', `${where}: outputs that are ${describe(outputs)} cannot answer for ${target.says}`, {
      expected: fits,
      actual: outputs,
    })
}

/** Probabilities [m, classes] of classes or labels from outputs [m, outputs]. */
export function probabilitiesOf(target: Target, values: TypedArray, m: number, options: AnswerOptions): Float64Array {
  const { temperature = 1, outputs = target.task === 'labels' ? 'logits' : 'classLogits' } = options
  const names = target.classes as readonly string[]
  const k = names.length
  const width = values.length / m
  const out = new Float64Array(m * k)
  const chance = (value: number): number =>
    outputs === 'probabilities' ? (temperature === 1 ? value : sigmoid(logit(value) / temperature)) : sigmoid(value / temperature)
  if (target.task === 'labels') {
    for (let i = 0; i < out.length; i++) out[i] = chance(values[i] as number)
    return out
  }
  // One output for two classes is that of the second.
  if (width === 1 && k === 2) {
    for (let i = 0; i < m; i++) {
      const p = chance(values[i] as number)
      out[2 * i] = 1 - p
      out[2 * i + 1] = p
    }
    return out
  }
  const logits = outputs === 'probabilities' ? Float64Array.from(values as Float32Array, (p) => Math.log(Math.max(p, 1e-300))) : values
  for (let i = 0; i < m; i++) softmaxInto(logits, i * k, k, temperature, out, i * k)
  return out
}

/** The place of the class that is predicted of probabilities from `at`. */
export function classAt(probabilities: ArrayLike<number>, at: number, k: number, threshold: number | undefined): number {
  if (k === 2)
    return (probabilities[at + 1] as number) >= (threshold ?? 0.5) &&
      !(threshold === undefined && probabilities[at] === probabilities[at + 1])
      ? 1
      : 0
  let best = 0
  for (let c = 1; c < k; c++) if ((probabilities[at + c] as number) > (probabilities[at + best] as number)) best = c
  return best
}

/** A function from outputs [m, outputs] to m answers. */
export function answering(target: Target, options: AnswerOptions): (values: TypedArray, m: number) => TablePrediction[] {
  const { columns, classes = [], scalings, task, separator } = target
  const { threshold } = options
  const k = classes.length
  if (task === 'numbers') {
    return (values, m) =>
      Array.from({ length: m }, (_, i) => {
        const answer: Record<string, unknown> = {}
        columns.forEach((name, j) => {
          put(answer, name, unscaled((scalings as readonly Scaling[])[j] as Scaling, values[i * columns.length + j] as number))
        })
        return answer
      })
  }
  const one = columns[0] as string
  return (values, m) => {
    const probabilities = probabilitiesOf(target, values, m, options)
    return Array.from({ length: m }, (_, i) => {
      const answer: Record<string, unknown> = {}
      if (task === 'classes') {
        const place = classAt(probabilities, i * k, k, threshold)
        // The target's column comes first, and keeps its name whatever it is.
        put(answer, one, classes[place])
        answer.probability ??= probabilities[i * k + place]
        answer.probabilities ??= named(classes, probabilities, i * k)
        return answer
      }
      const there = (j: number) => (probabilities[i * k + j] as number) >= (threshold ?? 0.5)
      if (separator !== undefined) {
        put(
          answer,
          one,
          classes.filter((_, j) => there(j)),
        )
      } else {
        columns.forEach((name, j) => {
          put(answer, name, there(j))
        })
      }
      answer.probabilities ??= named(classes, probabilities, i * k)
      return answer
    })
  }
}
