/** Checks on what users pass: misspelled options are caught by name, numbers by range. */

import { WengertError } from '../errors.js'

/** The number of single-letter edits between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length] as number
}

/** What other libraries and papers call an option, in small letters without marks: the words that many type first. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  learningRate: ['lr', 'alpha', 'eta', 'stepsize', 'rate'],
  batchSize: ['bs', 'minibatch', 'minibatchsize', 'batch'],
  epochs: ['nepochs', 'numepochs', 'maxepochs', 'epoch', 'iterations', 'maxiter', 'niter'],
  validation: ['val', 'validationdata', 'valdata', 'validationset', 'testdata', 'test'],
  weightDecay: ['wd', 'l2', 'decay', 'lambda'],
  loss: ['criterion', 'lossfunction', 'lossfn', 'cost', 'objective'],
  optimizer: ['optimiser', 'opt', 'optim', 'solver'],
  schedule: ['scheduler', 'lrschedule', 'lrscheduler', 'learningrateschedule'],
  clipNorm: ['gradientclipping', 'gradclip', 'gradclipnorm', 'maxnorm', 'maxgradnorm', 'clip'],
  seed: ['randomseed', 'randomstate'],
  signal: ['abortsignal', 'abort'],
  callbacks: ['callback', 'hooks', 'listeners'],
  tolerance: ['tol', 'eps'],
  shuffle: ['randomize'],
  keepDims: ['keepdim', 'keepdimensions'],
  axis: ['dim', 'dims'],
  bias: ['usebias', 'fitintercept'],
  inFeatures: ['indim', 'inputdim', 'inputsize'],
  outFeatures: ['outdim', 'outputdim', 'units'],
  'validation.cost': ['valloss', 'validationloss', 'valcost', 'testloss'],
  'validation.accuracy': ['valacc', 'valaccuracy', 'validationacc', 'testaccuracy'],
  cost: ['loss', 'trainloss', 'trainingloss', 'traincost'],
  accuracy: ['acc', 'trainacc', 'trainaccuracy'],
}

/** The known name that a word usually stands for. */
function meant(name: string, known: readonly string[]): string | undefined {
  const word = name
    .slice(0, 200)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
  return known.find((k) => Object.hasOwn(synonyms, k) && synonyms[k]?.includes(word))
}

/** The known name that a misspelled one stands for, or is nearest to, if near enough. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const usual = meant(name, known)
  if (usual !== undefined) return usual
  const lower = name.toLowerCase()
  const most = Math.max(2, Math.floor(name.length / 3))
  const edits = (other: string): number => {
    if (other === lower) return 0
    if (other.startsWith(lower) || lower.startsWith(other)) return 1
    // As many edits as the lengths differ by are needed: names of absurd lengths are not compared.
    return Math.abs(other.length - lower.length) > most || lower.length > 200 ? Infinity : distance(lower, other)
  }
  let best: string | undefined
  let fewest = most
  for (const k of known) {
    const d = edits(k.toLowerCase())
    if (d > fewest || (best !== undefined && d === fewest)) continue
    best = k
    fewest = d
  }
  return best
}

/** Refuses options outside `known`, and anything that is not a plain options object. Errors: ERR_OPTION. */
export function checkOptions(where: string, options: unknown, known: readonly string[]): void {
  if (options === undefined) return
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new WengertError('ERR_OPTION', `${where}: expected an object of options, got ${describe(options)}`, {
      expected: known,
      actual: options,
    })
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    const near = nearest(name, known)
    const hint = near ? `; did you mean '${near}'?` : known.length > 0 ? `; the options are ${listed(known, 40)}` : ''
    throw new WengertError('ERR_OPTION', `${where}: unknown option '${short(name)}'${hint}`, { expected: known, actual: name })
  }
}

/** What a number must be like. */
export interface NumberRule {
  integer?: boolean
  /** Smallest allowed. */
  min?: number
  /** Largest allowed. */
  max?: number
  /** The bounds themselves are excluded. */
  exclusive?: boolean
}

/** Refuses a value that is not a number within the rule. Errors: ERR_RANGE. */
export function checkNumber(where: string, name: string, value: unknown, rule: NumberRule = {}): number {
  const { integer = false, min = -Infinity, max = Infinity, exclusive = false } = rule
  const within = typeof value === 'number' && (exclusive ? value > min && value < max : value >= min && value <= max)
  if (!within || !(integer ? Number.isInteger(value) : Number.isFinite(value))) {
    const kind = integer ? 'an integer' : 'a finite number'
    const range =
      min > -Infinity
        ? max < Infinity
          ? ` between ${min} and ${max}`
          : ` ${exclusive ? '>' : '>='} ${min}`
        : max < Infinity
          ? ` ${exclusive ? '<' : '<='} ${max}`
          : ''
    throw new WengertError('ERR_RANGE', `${where}: expected ${name} to be ${kind}${range}, got ${describe(value)}`, {
      expected: kind + range,
      actual: value,
    })
  }
  return value
}

/** Refuses a value outside a list of names. Errors: ERR_OPTION. */
export function checkChoice<T extends string>(where: string, name: string, value: unknown, choices: readonly T[]): T {
  if (!choices.includes(value as T)) {
    const near = typeof value === 'string' ? nearest(value, choices) : undefined
    throw new WengertError(
      'ERR_OPTION',
      `${where}: expected ${name} to be ${choices.map((c) => `'${c}'`).join(' or ')}, got ${describe(value)}${near ? `; did you mean '${near}'?` : ''}`,
      {
        expected: choices,
        actual: value,
      },
    )
  }
  return value as T
}

/** How much of a text that a message echoes is shown. */
const longestEcho = 40

/** A text cut short for a message: what came in may be megabytes. */
export function short(text: string, longest = longestEcho): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text
}

/** Names in a message: the first few, each cut short, and how many there are. */
export function listed(names: readonly unknown[], most = 10): string {
  const shown = names.slice(0, most).map((name) => (typeof name === 'string' ? short(name) : describe(name)))
  return names.length > most ? `${shown.join(', ')}, … (${names.length} in all)` : shown.join(', ')
}

/** A short name for any value, for messages: `'text'`, `Date`, `a function`, `3`. Never throws, whatever the value brings along. */
export function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return `'${short(value)}'`
  if (typeof value === 'function') return 'a function'
  try {
    if (Array.isArray(value)) return `an array of ${value.length}`
    // Of the prototype: a `constructor` of the value's own is data.
    const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
    return typeof name === 'string' && name !== '' ? short(name) : 'an object'
  } catch {
    return 'an object'
  }
}

/** A value that must be true or false. Errors: ERR_OPTION. */
export function checkFlag(where: string, name: string, value: unknown): boolean {
  if (typeof value !== 'boolean')
    throw new WengertError('ERR_OPTION', `${where}: expected ${name} to be true or false, got ${describe(value)}`, { actual: value })
  return value
}
