/** A tape to look at: listed, tabulated in both modes with the field's notation, and drawn. */

import { WengertError } from '../errors.js'
import { add } from '../primitives/elementwise.js'
import { atNextLevel } from '../primitives/primitive.js'
import { asTensor, full, ones, tensor } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { checkOptions, describe } from '../util/options.js'
import { formatShape, sameShape } from '../util/shape.js'
import { mapTree, pathsOf } from '../util/tree.js'
import { type DrawOptions, dotOf, type Seed, svgOf } from './drawing.js'
import { push } from './forward.js'
import { pull, sweep } from './reverse.js'
import { alignedTable } from './table.js'
import { type Entry, Tape as Recording } from './tape.js'
import { type Contribution, formatValue, type Names, Script, subscript } from './written.js'

const isTensor = (value: unknown): value is Tensor => value instanceof Tensor

/** What a reverse sweep left: the adjoint of every entry it visited, and what each entry's consumers contributed, from the last. */
export interface Adjoints {
  readonly values: readonly (Tensor | undefined)[]
  readonly contributions: ReadonlyMap<number, readonly Contribution[]>
  /** The entries that the sweep visited, in its order. */
  readonly visited: readonly number[]
}

/**
 * The Wengert list of one evaluation: `entries` in an order of computation, inputs first. Made by `trace`.
 *
 * Neighbours that do not wait for each other stand by depth, as in Table 3.1: in ln x₁ + x₁x₂ − sin x₂ the logarithm, the
 * product and the sine come before the sum, whatever the order in which the code applied them.
 *
 * The values are those of the evaluation; `forwardTable` and `reverseTable` differentiate it afterwards.
 */
export class Tape extends Recording {
  names: Names = { inputs: [], outputs: [] }

  /** Orders each run of entries of one scope by depth, then by their first order; a valid order stays one. */
  sortByDepth(): void {
    const depths: number[] = []
    const runs: number[] = []
    this.entries.forEach((entry, i) => {
      const before = this.entries[i - 1]
      const starts = before !== undefined && (i === this.inputCount || entry.scope !== before.scope)
      const run = (runs[i - 1] ?? 0) + (starts ? 1 : 0)
      // What an earlier run made is there already.
      const waits = entry.sources.map((s) => (runs[s] === run ? (depths[s] as number) : 0))
      runs[i] = run
      depths[i] = i < this.inputCount ? 0 : 1 + waits.reduce((m, d) => Math.max(m, d), 0)
    })
    const order = this.entries.map((_, i) => i)
    order.sort((a, b) => (runs[a] as number) - (runs[b] as number) || (depths[a] as number) - (depths[b] as number) || a - b)
    const place = new Map(order.map((from, to) => [from, to]))
    const moved = (index: number) => place.get(index) ?? -1
    const sorted = order.map((i) => this.entries[i] as Entry).map((entry) => ({ ...entry, sources: entry.sources.map(moved) }))
    sorted.forEach((entry, i) => {
      this.entries[i] = entry
    })
    this.outputs = this.outputs.map(moved)
  }

  /** The list, a line an entry: `v₁ = ln v₋₁` and its value (type and shape where it is large). */
  override toString(): string {
    const script = new Script(this, this.names)
    const rows = this.entries.map((entry, i) => [script.primal(i), formatValue(entry.output)])
    const results = this.outputs.map((index, k) => [
      `${this.names.outputs[k]} = ${index < 0 ? 'a constant' : script.variable(index)}`,
      index < 0 ? '' : formatValue((this.entries[index] as Entry).output),
    ])
    return withConstants(alignedTable([...rows, ...results]), script)
  }

  /**
   * Forward mode (3.48 – 3.49) beside the evaluation, top to bottom: each v and its tangent v̇ in the direction of the seed.
   *
   * @param seed one tangent for each input; 1 for the first input and 0 for the others by default
   * @throws ERR_SHAPE for a seed that does not fit the inputs
   * @example console.log(trace(f, x1, x2).forwardTable([1, 0]))
   */
  forwardTable(seed?: readonly Seed[]): string {
    const script = new Script(this, this.names)
    const seeds = this.#directions('forwardTable', seed)
    const known = this.#push(seeds)
    const rows = this.entries.map((entry, i) => {
      const tangent = known[i]
      return [script.primal(i), formatValue(entry.output), script.tangent(i, known), tangent ? formatValue(tangent) : '0']
    })
    this.outputs.forEach((index, k) => {
      const tangent = known[index]
      rows.push([
        `${this.names.outputs[k]} = ${index < 0 ? 'a constant' : script.variable(index)}`,
        index < 0 ? '' : formatValue((this.entries[index] as Entry).output),
        `${script.outputTangent(k)} = ${index < 0 ? '0' : script.tangentOf(index)}`,
        tangent ? formatValue(tangent) : '0',
      ])
    })
    const names = this.names.inputs.map((_, i) => script.inputTangent(i))
    const shown = seeds.map((s) => (s ? formatValue(s) : '0'))
    const list = (items: string[]) => (items.length === 1 ? items[0] : `(${items.join(', ')})`)
    const direction = `, seed ${list(names)} = ${list(shown)}`
    const header = ['primal trace', 'value', `tangent trace${direction.length > 48 ? '' : direction}`, 'value']
    return withConstants(alignedTable(rows, header), script)
  }

  /**
   * Reverse mode (3.50 – 3.51) beside the evaluation: each v and its adjoint v̄, to be read bottom-up. A path that the sweep
   * does not walk has the adjoint 0.
   *
   * @param seed one adjoint for each output; 1 everywhere by default
   * @throws ERR_SHAPE for a seed that does not fit the outputs
   * @example console.log(trace(f, x1, x2).reverseTable())
   */
  reverseTable(seed?: readonly Seed[]): string {
    const script = new Script(this, this.names)
    const { values, contributions } = this.adjoints(seed)
    const rows = this.entries.map((entry, i) => {
      const adjoint = values[i]
      return [
        script.primal(i),
        formatValue(entry.output),
        script.adjoint(i, contributions.get(i) ?? []),
        adjoint ? formatValue(adjoint) : '0',
      ]
    })
    return withConstants(alignedTable(rows, ['primal trace', 'value', 'adjoint trace (read bottom-up)', 'value']), script)
  }

  /** One reverse sweep over this evaluation: the adjoints of the outputs are `seed` (1 everywhere by default). */
  adjoints(seed?: readonly Seed[]): Adjoints {
    const outputs = this.#seeds('reverseTable', seed ?? this.outputs.map(() => 1), this.outputs)
    const seeds = new Map<number, Tensor>()
    this.outputs.forEach((index, k) => {
      const g = outputs[k]
      if (index < 0 || g === undefined) return
      const before = seeds.get(index)
      seeds.set(index, before ? add(before, g) : g)
    })
    const values: (Tensor | undefined)[] = []
    for (const [index, g] of seeds) values[index] = g
    const contributions = new Map<number, Contribution[]>()
    const visited: number[] = []
    sweep(this, seeds, (index, adjoint) => {
      visited.push(index)
      values[index] = adjoint
      const entry = this.entries[index] as Entry
      pull(this, entry, adjoint).forEach((value, operand) => {
        if (value === undefined) return
        const source = entry.sources[operand] as number
        const list = contributions.get(source)
        if (list) list.push({ consumer: index, operand, value })
        else contributions.set(source, [{ consumer: index, operand, value }])
      })
    })
    return { values, contributions, visited }
  }

  /**
   * The computational graph in Graphviz's language: operations as nodes, values on the edges.
   *
   * @param options.tangents also the tangent v̇ on each edge (Figure 3.13): true for the direction of the first input, or one seed for
   * each input; false by default
   * @param options.adjoints also what flows back along each edge (Figure 3.14); false by default
   * @param options.direction 'LR' (default) or 'TB'
   */
  toDot(options: DrawOptions = {}): string {
    checkOptions('toDot', options, ['adjoints', 'tangents', 'direction'])
    const { adjoints, tangents } = options
    const seed = Array.isArray(tangents) ? (tangents as readonly Seed[]) : undefined
    return dotOf(this, new Script(this, this.names), options, {
      ...(adjoints && { contributions: this.adjoints().contributions }),
      ...(tangents && { tangents: this.#push(this.#directions('toDot', seed)) }),
    })
  }

  /** `toDot`, laid out: an SVG document. The layout library is loaded at the first call. */
  async toSvg(options: DrawOptions = {}): Promise<string> {
    return await svgOf(this.toDot(options))
  }

  /** The tangents of the inputs: those given, or 1 for the first and 0 for the others. */
  #directions(op: string, seed: readonly Seed[] | undefined): (Tensor | undefined)[] {
    const { inputs } = this.names
    return this.#seeds(op, seed ?? inputs.map((_, i) => (i === 0 ? 1 : 0)), [...inputs.keys()])
  }

  #push(seeds: readonly (Tensor | undefined)[]): (Tensor | undefined)[] {
    const known: (Tensor | undefined)[] = []
    this.entries.forEach((entry, index) => {
      if (entry.primitive === undefined) known[index] = seeds[index]
      else {
        const tangents = entry.sources.map((s) => (s >= 0 ? known[s] : undefined))
        const moving = entry.active && tangents.some((t) => t !== undefined)
        known[index] = moving ? push(entry.primitive, tangents, entry.inputs, entry.output, entry.params) : undefined
      }
    })
    return known
  }

  /** Seeds as tensors like the given entries; none for what has no derivative. */
  #seeds(op: string, seed: readonly Seed[], entries: readonly number[]): (Tensor | undefined)[] {
    if (!Array.isArray(seed) || seed.length !== entries.length) {
      throw new WengertError('ERR_SHAPE', `${op}: expected ${entries.length} seeds, got ${describe(seed)}`, {
        expected: entries.length,
        actual: seed,
      })
    }
    return entries.map((index, k) => {
      const like = this.entries[index]?.output
      if (like === undefined || !isFloat(like.dtype)) return undefined
      const given: unknown = seed[k]
      const { shape, dtype } = like
      if (typeof given === 'number') return given === 1 ? ones(shape, { dtype }) : full(shape, given, { dtype })
      const value = asTensor(op, given, { dtype })
      if (!sameShape(value.shape, shape)) {
        throw new WengertError('ERR_SHAPE', `${op}: expected a seed of shape ${formatShape(shape)}, got ${formatShape(value.shape)}`, {
          expected: shape,
          actual: value.shape,
        })
      }
      return value
    })
  }
}

/** Constants that are not single numbers are named in the table and listed under it. */
function withConstants(table: string, script: Script): string {
  const notes = script.constants.map((c, i) => `c${subscript(i + 1)}: a constant, ${c.dtype} ${formatShape(c.shape)}`)
  return [table, ...notes].join('\n').normalize('NFC')
}

/** Names of a list of trees' leaves: x₁.W, x₂; no number where there is one tree. */
function leafNames(letter: string, trees: readonly unknown[]): string[] {
  return trees.flatMap((tree, i) => pathsOf(tree, isTensor).map((path) => `${letter}${trees.length === 1 ? '' : subscript(i + 1)}${path}`))
}

/**
 * Evaluates `f` and keeps the tape: every operation on the inputs, differentiation inside `f` included.
 *
 * @param inputs tensors, trees of tensors, or numbers (taken as float64); each tensor in them is an input of the tape
 * @throws ERR_VALUE where `f` is no function, an input holds no tensor, or nothing comes out
 * @example
 * const f = (x1: Tensor, x2: Tensor) => x1.log().add(x1.mul(x2)).sub(x2.sin())
 * console.log(trace(f, 2, 5).reverseTable())
 */
// biome-ignore lint/suspicious/noExplicitAny: user functions take trees of tensors whose shape only they know
export function trace(f: (...args: any[]) => unknown, ...inputs: unknown[]): Tape {
  if (typeof f !== 'function')
    throw new WengertError('ERR_VALUE', `trace: expected a function, got ${describe(f)}`, { expected: 'a function', actual: f })
  const args = inputs.map((x) => (typeof x === 'number' ? tensor(x, { dtype: 'float64' }) : x))
  args.forEach((arg, i) => {
    if (pathsOf(arg, isTensor).length === 0)
      throw new WengertError('ERR_VALUE', `trace: expected tensors, trees of tensors or numbers, got ${describe(arg)} as input ${i}`, {
        actual: arg,
      })
  })
  return atNextLevel((level) => {
    const tape = new Tape(level, true, false)
    const result = f(...args.map((arg) => mapTree(arg, isTensor, (x) => tape.watch(x))))
    const results: unknown[] = Array.isArray(result) ? result : [result]
    const outputs: number[] = []
    mapTree(result, isTensor, (y) => outputs.push(tape.indexOf(y.resolve())))
    if (outputs.length === 0)
      throw new WengertError('ERR_VALUE', `trace: expected the function to return a tensor or a tree of tensors, got ${describe(result)}`, {
        actual: result,
      })
    tape.outputs = outputs
    tape.sortByDepth()
    tape.names = { inputs: leafNames('x', args), outputs: leafNames('y', results) }
    return tape
  })
}
