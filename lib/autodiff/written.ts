/**
 * A tape in the field's notation: v₋₁, v₀ for inputs, v₁ … for what follows, v̇ for tangents, v̄ for adjoints (3.48 – 3.51).
 *
 * The expression of a derivative is not written anywhere: an op's own rule runs over named stand-ins, and what it records is
 * read back. A rule too long to read gives `∂op(v₁)·v̄₂`.
 */

import { WengertError } from '../errors.js'
import { sumTo } from '../primitives/broadcast.js'
import { binding, call, type Notation, plus, type Written } from '../primitives/notation.js'
import { Abstract, atNextLevel, below, type Primitive } from '../primitives/primitive.js'
import { Tuple } from '../primitives/tuple.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { formatShape } from '../util/shape.js'
import { push } from './forward.js'
import { cotangentsOf } from './reverse.js'
import { type Entry, Tape } from './tape.js'

type Text = Pick<Written, 'text' | 'binds'>

/** Derivatives longer than this, in characters, are written as ∂op(…). */
const longest = 56

const dot = '\u0307'
const bar = '\u0304'

export function subscript(n: number): string {
  return `${n < 0 ? '₋' : ''}${[...String(Math.abs(n))].map((digit) => '₀₁₂₃₄₅₆₇₈₉'[Number(digit)]).join('')}`
}

/** A number with the shortest digits that give it back in its own type, and a typographic minus. */
export function formatNumber(x: number, dtype: string, digits?: number): string {
  let text = String(x)
  if (digits !== undefined && Number.isFinite(x)) text = String(Number(x.toPrecision(digits)))
  else if (dtype === 'float32' && Number.isFinite(x)) {
    for (let p = 1; p <= 9; p++) {
      text = String(Number(x.toPrecision(p)))
      if (Math.fround(Number(text)) === x) break
    }
  }
  return text.replaceAll('-', '−').replaceAll('e+', 'e')
}

/** A tensor's value where it is small, else its type and shape. `digits` shortens numbers. */
export function formatValue(x: Tensor, digits?: number, most = 6): string {
  if (x instanceof Tuple) return `${x.parts.length} tensors`
  let data: ArrayLike<number>
  try {
    data = x.data
  } catch {
    return `${x.dtype} ${formatShape(x.shape)}`
  }
  if (x.size > most || x.rank > 2) return `${x.dtype} ${formatShape(x.shape)}`
  const number = (i: number) =>
    x.dtype === 'bool' ? String(data[i] !== 0) : formatNumber(data[i] as number, x.dtype, x.rank ? (digits ?? 6) : digits)
  if (x.rank === 0) return number(0)
  const row = (start: number, n: number) => `[${Array.from({ length: n }, (_, i) => number(start + i)).join(', ')}]`
  const [rows, cols] = x.shape as [number, number]
  return x.rank === 1 ? row(0, rows) : `[${Array.from({ length: rows }, (_, i) => row(i * cols, cols)).join(', ')}]`
}

export const notationOf = (primitive: Primitive): Notation => primitive.notation ?? call(primitive.name)

/** What an entry's adjoint gives to one of its operands. */
export interface Contribution {
  readonly consumer: number
  readonly operand: number
  readonly value: Tensor
}

export interface Names {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

export class Script {
  /** Constants that are not single numbers, in the order of their first use. */
  readonly constants: Tensor[] = []

  constructor(
    readonly tape: Tape,
    readonly names: Names,
  ) {}

  #letter(index: number, accent: string): string {
    return `v${accent}${subscript(index - this.tape.inputCount + 1)}`
  }

  variable(index: number): string {
    return this.#letter(index, '')
  }

  tangentOf(index: number): string {
    return this.#letter(index, dot)
  }

  adjointOf(index: number): string {
    return this.#letter(index, bar)
  }

  inputTangent(index: number): string {
    return this.#accented(this.names.inputs[index] as string, dot)
  }

  outputTangent(index: number): string {
    return this.#accented(this.names.outputs[index] as string, dot)
  }

  inputAdjoint(index: number): string {
    return this.#accented(this.names.inputs[index] as string, bar)
  }

  /** A name with an accent over its letter: x₁ → x̄₁. */
  #accented(name: string, accent: string): string {
    return `${name[0]}${accent}${name.slice(1)}`.normalize('NFC')
  }

  /** `v₁ = ln v₋₁`. */
  primal(index: number): string {
    const entry = this.#entry(index)
    const right = entry.primitive === undefined ? this.names.inputs[index] : this.#application(entry).text
    return `${this.variable(index)} = ${right}`
  }

  /** `v̇₁ = v̇₋₁/v₋₁`; an input's tangent is its seed. */
  tangent(index: number, known: readonly (Tensor | undefined)[]): string {
    const entry = this.#entry(index)
    if (entry.primitive === undefined) return this.tangentOf(index)
    const terms = known[index] === undefined ? [] : this.#tangentTerms(index, known)
    return `${this.tangentOf(index)} = ${terms.length === 0 ? '0' : terms.reduce(plus).text}`
  }

  /** `v̄₋₁ = v̄₂·v₀ + v̄₁/v₋₁ = x̄₁`: what the consumers contribute, from the last. */
  adjoint(index: number, contributions: readonly Contribution[]): string {
    const { tape, names } = this
    const seeds = tape.outputs.flatMap((o, k): Text[] =>
      o === index ? [{ text: this.#accented(names.outputs[k] as string, bar), binds: binding.atom }] : [],
    )
    const terms = [...seeds, ...contributions.map(({ consumer, operand }) => this.contribution(consumer, operand))]
    const right = terms.length === 0 ? '0' : terms.reduce(plus).text
    const tail = index < tape.inputCount ? ` = ${this.#accented(names.inputs[index] as string, bar)}` : ''
    return `${this.adjointOf(index)} = ${right}${tail}`
  }

  /** What an entry's adjoint gives to one of its operands: `v̄₂·v₀`. */
  contribution(consumer: number, operand: number): Text {
    const entry = this.#entry(consumer)
    const wanted = entry.sources.map((_, i) => i === operand)
    const to = entry.inputs[operand] as Tensor
    const written = derive((stand) => {
      const g = stand(entry.output, this.adjointOf(consumer))
      const standing = this.#stand(entry, consumer, stand)
      const cotangent = cotangentsOf(entry.primitive as Primitive, g, standing, wanted)[operand]
      return cotangent && sumTo(cotangent, to.shape)
    })
    return written ?? this.#partial(entry, operand, this.adjointOf(consumer))
  }

  /** An operand as it is written: a variable, a number, or a constant's name. */
  operand(entry: Entry, i: number): Written {
    const source = entry.sources[i] as number
    const { shape, dtype, size } = entry.inputs[i] as Tensor
    if (source >= 0) return { text: this.variable(source), binds: binding.atom, shape }
    const constant = entry.inputs[i] as Tensor
    if (size === 1) {
      const text = formatValue(constant).replace(/^\[+|\]+$/g, '')
      return { text, binds: text.startsWith('−') ? binding.sign : binding.atom, shape: [] }
    }
    let known = this.constants.indexOf(constant)
    if (known < 0) known = this.constants.push(constant) - 1
    return { text: `c${subscript(known + 1)}`, binds: binding.atom, shape: isFloat(dtype) ? shape : constant.shape }
  }

  #entry(index: number): Entry {
    return this.tape.entries[index] as Entry
  }

  #operands(entry: Entry): Written[] {
    return entry.inputs.map((_, i) => this.operand(entry, i))
  }

  #application(entry: Entry): Text {
    return notationOf(entry.primitive as Primitive).write(this.#operands(entry), entry.params)
  }

  #partial(entry: Entry, operand: number, accented: string): Text {
    const application = call((entry.primitive as Primitive).name).write(this.#operands(entry), entry.params).text
    const by = entry.inputs.length === 1 ? '' : `/∂${this.operand(entry, operand).text}`
    return { text: `∂${application}${by}·${accented}`, binds: binding.product }
  }

  /** The entry's operands and result as stand-ins with their names. */
  #stand(entry: Entry, index: number, stand: Stand): Pick<Entry, 'inputs' | 'output' | 'params'> {
    return {
      inputs: entry.inputs.map((x, i) => stand(x, this.operand(entry, i))),
      output: stand(entry.output, this.variable(index)),
      params: entry.params,
    }
  }

  #tangentTerms(index: number, known: readonly (Tensor | undefined)[]): Text[] {
    const entry = this.#entry(index)
    const primitive = entry.primitive as Primitive
    const notation = notationOf(primitive)
    const dotted = entry.sources.map((s, i): Written | undefined =>
      s >= 0 && known[s] !== undefined
        ? { text: this.tangentOf(s), binds: binding.atom, shape: (entry.inputs[i] as Tensor).shape }
        : undefined,
    )
    const present = dotted.flatMap((t, i) => (t ? [i] : []))
    const operands = this.#operands(entry)
    if (notation.multilinear)
      return present.map((i) =>
        notation.write(
          operands.map((x, k) => (k === i ? (dotted[i] as Written) : x)),
          entry.params,
        ),
      )
    if (primitive.kind === 'linear') {
      const absent: Text = { text: '0', binds: binding.atom }
      const parts = operands.map((x, i) => dotted[i] ?? (isFloat((entry.inputs[i] as Tensor).dtype) ? { ...x, ...absent } : x))
      return [notation.write(parts, entry.params)]
    }
    return present.map(
      (i) =>
        derive((stand) => {
          const standing = this.#stand(entry, index, stand)
          const tangents = entry.inputs.map((x, k) => (k === i ? stand(x, (dotted[i] as Written).text) : undefined))
          return push(primitive, tangents, standing.inputs, standing.output, entry.params)
        }) ?? this.#partial(entry, i, (dotted[i] as Written).text),
    )
  }
}

/** Makes a tensor without values that is written as `name`. */
type Stand = (like: Tensor, name: string | Written) => Tensor

/** Runs a rule over stand-ins and reads what it recorded; undefined where it is too long, or needs values. */
function derive(rule: (stand: Stand) => Tensor | undefined): Text | undefined {
  return atNextLevel((level) => {
    const tape = new Tape(level, true)
    const texts: Written[] = []
    const stand: Stand = (like, name) => {
      if (below(like) instanceof Tuple) throw new WengertError('ERR_VALUE_NEEDED', 'a rule of several results is not written out')
      const variable = tape.watch(new Abstract(like.shape, like.dtype))
      texts[variable.index] = typeof name === 'string' ? { text: name, binds: binding.atom, shape: like.shape } : name
      return variable
    }
    let result: Tensor | undefined
    try {
      result = rule(stand)?.resolve()
    } catch (error) {
      if (error instanceof WengertError && error.code === 'ERR_VALUE_NEEDED') return undefined
      throw error
    }
    if (result === undefined) return { text: '0', binds: binding.atom }
    tape.entries.forEach((entry, index) => {
      if (entry.primitive === undefined) return
      const notation = notationOf(entry.primitive)
      const operands = entry.inputs.map((x, i) => texts[entry.sources[i] as number] ?? constantIn(x))
      const only = operands[0] as Written
      const text = operands.some((x) => x.text === '') ? '' : notation.quiet ? only.text : notation.write(operands, entry.params).text
      const binds = notation.quiet ? only.binds : notation.write(operands, entry.params).binds
      texts[index] = { text: text.length > longest ? '' : text, binds, shape: entry.output.shape }
    })
    const written = texts[tape.indexOf(result)] ?? constantIn(result)
    return written.text === '' ? undefined : written
  })
}

/** A constant in a rule: numbers are written; what cannot be makes the text empty. */
function constantIn(x: Tensor): Written {
  if (x.size !== 1 || x instanceof Abstract) return { text: '', binds: binding.atom, shape: x.shape }
  const text = formatValue(x, 6).replace(/^\[+|\]+$/g, '')
  return { text, binds: text.startsWith('−') ? binding.sign : binding.atom, shape: [] }
}
