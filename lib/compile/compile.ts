/**
 * `compile`: a function of trees of tensors becomes one that is recorded once for each form of its arguments and replayed by the
 * engine from then on.
 *
 * Where it is called inside of something that watches its tensors (a transform, another recording, a trainer's, `detectAnomaly`), the
 * plain function runs in its place: it then becomes part of what is made there.
 */

import { type AnyFunction, checkFunction, type Given } from '../autodiff/arguments.js'
import { engine } from '../backend/select.js'
import { WengertError } from '../errors.js'
import type { Profile } from '../plan/profile.js'
import { observed, tracing } from '../primitives/primitive.js'
import { drawsNow } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import { BoundedCache } from '../util/bounded-cache.js'
import { checkNumber, checkOptions } from '../util/options.js'
import { collect, type Form, formOf, holdsOpaque, keyOf, type Leaves } from './arguments.js'
import { Recorded } from './recorded.js'

/** Which arguments of a compiled function are treated in another way. */
export interface CompileOptions {
  /** Positions of arguments that belong to the program: numbers, strings, options, modules. Each new value is a new signature. */
  static?: number | readonly number[] | undefined
  /**
   * Positions of arguments that are not used after the call: results of the same shape and type take over their memory, so that a loop
   * over parameters allocates nothing. A donated tensor has no values afterwards (ERR_DONATED).
   */
  donate?: number | readonly number[] | undefined
}

/** One program of a compiled function. */
export interface CompiledSignature {
  /** Shapes, types, trees and static values of the arguments. */
  readonly signature: string
  /** Calls so far. */
  readonly calls: number
  /** Memory that is kept for it, about. */
  readonly bytes: number
}

/** What may be given for an argument of type T: a number or a typed array wherever a tensor is taken. */
type Argument<T> = Given<T> | (Tensor extends T ? Float32Array | Float64Array | Int32Array : never)
type Arguments<A extends readonly unknown[]> = { [K in keyof A]: Argument<A[K]> }

/** A compiled function. */
export interface Compiled<A extends readonly unknown[], R> {
  /** The value of the function, computed at once. */
  (...args: Arguments<A>): R
  /** The same off the main thread, where the engine can. The arguments are copied: they may be changed at once. */
  async(...args: Arguments<A>): Promise<R>
  /** The program for such arguments, as a table of its kernel calls. */
  describe(...args: Arguments<A>): string
  /** Where the time of a run on these arguments goes, call by call. Nothing is assigned, and no generator moves on. */
  profile(...args: Arguments<A>): Profile
  /** The programs that are kept, the least recently used first. */
  readonly signatures: readonly CompiledSignature[]
}

/** Bytes that the programs of one function hold together. */
const mostBytes = 64 * 2 ** 20
/** Programs that are looked at without building a key. */
const recentPrograms = 4
/** Programs of one form that differ by what else was taken for granted: parameters frozen or not, numbers that are integers or not. */
const variants = 8
const variant = (key: string, i: number): string => (i === 0 ? key : `${key} (${i + 1})`)
/** So many new signatures in a row are said to be too many. */
const manyMisses = 16

const positions = (name: string, given: unknown): readonly number[] => {
  const list = given === undefined ? [] : Array.isArray(given) ? (given as unknown[]) : [given]
  return list.map((i) => checkNumber('compile', name, i, { integer: true, min: 0 }))
}

/**
 * A function like `f` that runs as one native program: `f` is recorded at the first call for each form of its arguments (shapes,
 * types, trees, static values) and replayed from then on. Same values as `f`, to rounding.
 *
 * - Arguments and results are trees (arrays, plain objects) of tensors and numbers, as in `grad`. Inside, a number is a tensor of the
 *   type of those beside it. Typed arrays are read in place; results are fresh.
 * - It composes with the transforms in either order, and may be called inside of another compiled function or a `forward`.
 * - A tensor that `f` closes over is a constant, as it was when `f` was recorded. A `Parameter` is read at each call; buffers that `f`
 *   assigns are assigned at each call; a `Random` draws anew at each call.
 * - Programs are kept, within 64 MB a function; those not used for longest are freed.
 *
 * @param options.static positions of arguments that belong to the program; each new value is recorded anew
 * @param options.donate positions of arguments whose memory results may take over
 * @throws ERR_VALUE_NEEDED where the path of `f` depends on the values of tensors; ERR_LEAKED for a tensor that was kept from another
 * function's recording; ERR_VALUE for arguments or results that are no such trees, and for donated memory that is there twice;
 * ERR_DONATED for a tensor that was donated before
 * @example
 * const step = compile((w: Tensor, x: Tensor, y: Tensor) => {
 *   const [cost, g] = valueAndGrad(costOf)(w, x, y)
 *   return [cost, w.sub(g.mul(0.1))] as const
 * })
 * const [cost, next] = step(w, x, y)
 */
export function compile<A extends readonly Tensor[], const R>(f: (...args: A) => R, options?: CompileOptions): Compiled<A, R>
export function compile<A extends readonly unknown[], const R>(f: (...args: A) => R, options?: CompileOptions): Compiled<A, R>
export function compile(f: unknown, options: CompileOptions = {}): unknown {
  const programs = new Programs(checkFunction('compile', f), options)
  const compiled = (...args: unknown[]): unknown => programs.call(args)
  const members = {
    async: async (...args: unknown[]): Promise<unknown> => programs.callAside(args),
    describe: (...args: unknown[]): string => programs.of('describe', args).recorded.plan.describe(),
    profile: (...args: unknown[]): Profile => {
      const { recorded, leaves } = programs.of('profile', args)
      return recorded.plan.profile(undefined, recorded.scratch(leaves))
    },
  }
  Object.defineProperty(compiled, 'name', { value: (f as AnyFunction).name })
  Object.defineProperty(compiled, 'signatures', { get: () => programs.signatures, enumerable: true })
  return Object.assign(compiled, members)
}

/** Whether something watches what is computed now: then the plain function runs, and is seen. */
const watched = (): boolean => tracing() || observed() || drawsNow() !== undefined

class Programs {
  readonly #cache = new BoundedCache<Recorded>(mostBytes)
  /** The most recently used first. */
  readonly #recent: Recorded[] = []
  readonly #static: readonly number[]
  readonly #donate: readonly number[]
  #misses = 0
  #said = false

  constructor(
    readonly f: AnyFunction,
    options: CompileOptions,
  ) {
    checkOptions('compile', options, ['static', 'donate'])
    this.#static = positions('static', options.static)
    this.#donate = positions('donate', options.donate)
    const both = this.#static.find((i) => this.#donate.includes(i))
    if (both !== undefined)
      throw new WengertError('ERR_OPTION', `compile: argument ${both} is static, so it has no memory to donate`, { actual: both })
  }

  get signatures(): CompiledSignature[] {
    return [...this.#cache.values()].map(({ key, calls, bytes }) => ({ signature: key, calls, bytes }))
  }

  call(args: readonly unknown[]): unknown {
    if (watched()) return this.f(...args)
    const found = this.#find(args)
    return found ? found.recorded.run(found.leaves) : this.f(...args)
  }

  async callAside(args: readonly unknown[]): Promise<unknown> {
    if (watched()) return this.f(...args)
    const found = this.#find(args)
    if (!found) return this.f(...args)
    return engine().offThread ? found.recorded.runAside(found.leaves) : found.recorded.run(found.leaves)
  }

  /** The program for these arguments, for people. Errors: ERR_VALUE inside of a transform or a recording. */
  of(what: string, args: readonly unknown[]): { recorded: Recorded; leaves: Leaves } {
    const found = watched() ? undefined : this.#find(args)
    if (!found)
      throw new WengertError(
        'ERR_VALUE',
        `${what}: there is no program of its own inside of a function that is differentiated or recorded: call it outside`,
      )
    return found
  }

  /** The program for these arguments, recorded now where there is none; undefined where one of them can only be handed on. */
  #find(args: readonly unknown[]): { recorded: Recorded; leaves: Leaves } | undefined {
    const recent = this.#recent
    for (let i = 0; i < recent.length; i++) {
      const recorded = recent[i] as Recorded
      if (recorded.released) continue
      const leaves: Leaves = { tensors: [], arrays: [], numbers: [] }
      if (!collect(recorded.form, args, leaves) || !recorded.holdsFor(leaves.numbers)) continue
      if (i > 0) this.#use(recorded)
      this.#misses = 0
      return { recorded, leaves }
    }
    if (holdsOpaque(args)) return undefined
    const form = this.#formOf(args)
    const key = keyOf(form)
    // A static tree that was changed in place is known by its text.
    const leaves: Leaves = { tensors: [], arrays: [], numbers: [] }
    collect(form, args, leaves)
    const recorded = this.#known(key, leaves) ?? this.#record(form, key, leaves)
    this.#use(recorded)
    return { recorded, leaves }
  }

  /** A program of this form that holds still. */
  #known(key: string, { numbers }: Leaves): Recorded | undefined {
    for (let i = 0; i < variants; i++) {
      const recorded = this.#cache.get(variant(key, i))
      if (!recorded?.holdsFor(numbers)) continue
      this.#misses = 0
      return recorded
    }
    return undefined
  }

  #formOf(args: readonly unknown[]): Form {
    return { kind: 'list', items: args.map((arg, i) => formOf(arg, this.#static.includes(i), `argument ${i}`)) }
  }

  #use(recorded: Recorded): void {
    const recent = this.#recent
    const at = recent.indexOf(recorded)
    if (at >= 0) recent.splice(at, 1)
    recent.unshift(recorded)
    if (recent.length > recentPrograms) recent.pop()
    // Counted as used.
    this.#cache.get(recorded.key)
  }

  #record(form: Form, key: string, { numbers }: Leaves): Recorded {
    const free = Array.from({ length: variants }, (_, i) => variant(key, i)).find((name) => !this.#cache.get(name))
    const name = free ?? variant(key, this.#misses % variants)
    let recorded: Recorded
    try {
      recorded = new Recorded(this.f, form, name, numbers, this.#donate)
    } catch (error) {
      throw error instanceof WengertError && error.code === 'ERR_VALUE_NEEDED' ? valueNeeded(error) : error
    }
    this.#cache.set(name, recorded)
    this.#count(name)
    return recorded
  }

  /** Says once that every call brings another signature. */
  #count(key: string): void {
    this.#misses++
    if (this.#said || this.#misses < manyMisses) return
    this.#said = true
    const previous = this.#recent[0]?.key ?? ''
    process.emitWarning(
      `compile: ${this.f.name || 'a function'} was recorded anew at each of its last ${manyMisses} calls, which costs far more than running it: each call brought other shapes, other trees or other static values, at last ${key} after ${previous}. Keep shapes the same, and pass what changes as a tensor or a number that is not static`,
      { type: 'WengertCompile' },
    )
  }
}

function valueNeeded(error: WengertError): WengertError {
  return new WengertError(
    'ERR_VALUE_NEEDED',
    `compile: ${error.message}. Write a choice between values as where(condition, a, b), a recurrence as scan(f, init, xs); an argument that decides the path, such as a number of repetitions, belongs in static; return what is to be read from the function`,
    { cause: error },
  )
}
