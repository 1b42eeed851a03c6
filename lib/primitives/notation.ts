/**
 * How applications of primitives are written, for printed and drawn tapes: `ln v₋₁`, `v₁ + v₂`, `v₀·v₁ᵀ`. A row without a
 * notation is written as a call. Pure text: brackets are set by how tightly a text binds.
 */

import type { Shape } from '../util/shape.js'

/** How tightly a text binds: the operands of a looser one need no brackets in it. */
export const binding = { comparison: 0, sum: 1, sign: 2, hadamard: 3, product: 4, prefix: 5, power: 6, atom: 7 } as const

/** A text that may become an operand. */
export interface Written {
  readonly text: string
  readonly binds: number
  /** The shape of what it stands for: elementwise products of arrays are written apart from those with a scalar. */
  readonly shape: Shape
}

type Text = Pick<Written, 'text' | 'binds'>

export interface Notation {
  /** On a node of the drawn graph. */
  readonly symbol: string
  readonly write: (operands: readonly Written[], params: Readonly<Record<string, unknown>>) => Text
  /** Linear in each operand alone: a tangent is written in its operand's place. */
  readonly multilinear?: boolean
  /** Only moves or repeats elements: left out in the expressions of derivatives. */
  readonly quiet?: boolean
}

const wrapped = (operand: Text, loosest: number): string => (operand.binds >= loosest ? operand.text : `(${operand.text})`)
const at = (operands: readonly Written[], i: number): Written => operands[i] as Written

/** `name(a, b)`. */
export function call(name: string, extra: Pick<Notation, 'quiet'> = {}): Notation {
  return {
    symbol: name,
    write: (operands) => ({ text: `${name}(${operands.map((x) => x.text).join(', ')})`, binds: binding.atom }),
    ...extra,
  }
}

/** `ln a`, `ln(a + b)`. */
export function prefix(name: string, gap = ' '): Notation {
  return {
    symbol: name,
    write: ([a]) => {
      const operand = a as Written
      return operand.binds >= binding.power
        ? { text: `${name}${gap}${operand.text}`, binds: binding.prefix }
        : { text: `${name}(${operand.text})`, binds: binding.atom }
    },
  }
}

/** `a²`. */
export function postfix(mark: string): Notation {
  return { symbol: `( )${mark}`, write: (operands) => ({ text: `${wrapped(at(operands, 0), binding.atom)}${mark}`, binds: binding.power }) }
}

/** `|a|`. */
export function around(left: string, right: string): Notation {
  return { symbol: `${left} ${right}`, write: (operands) => ({ text: `${left}${at(operands, 0).text}${right}`, binds: binding.atom }) }
}

/** `a > b`. */
export function comparison(sign: string): Notation {
  return {
    symbol: sign,
    write: (operands) => ({
      text: operands.map((x) => wrapped(x, binding.sum)).join(` ${sign} `),
      binds: binding.comparison,
    }),
  }
}

/** A sum of texts; a negative term is taken away. */
export function plus(a: Text, b: Text): Text {
  const left = wrapped(a, binding.sum)
  const right = wrapped(b, binding.sum)
  return { text: right.startsWith('−') ? `${left} − ${right.slice(1)}` : `${left} + ${right}`, binds: binding.sum }
}

export const sumNotation: Notation = { symbol: '+', write: (operands) => plus(at(operands, 0), at(operands, 1)) }

export const differenceNotation: Notation = {
  symbol: '−',
  write: (operands) => ({
    text: `${wrapped(at(operands, 0), binding.sum)} − ${wrapped(at(operands, 1), binding.hadamard)}`,
    binds: binding.sum,
  }),
}

export const negationNotation: Notation = {
  symbol: '−',
  write: (operands) => ({ text: `−${wrapped(at(operands, 0), binding.hadamard)}`, binds: binding.sign }),
}

/** A factor on the left: `ln v·w` would be read as ln(v·w). */
const leftFactor = (x: Text): string => (x.binds === binding.prefix ? `(${x.text})` : wrapped(x, binding.product))

/** `a·b`; `a ⊙ b` where both are arrays. */
export const productNotation: Notation = {
  symbol: '×',
  multilinear: true,
  write: (operands) => {
    const [a, b] = [at(operands, 0), at(operands, 1)]
    return a.shape.length > 0 && b.shape.length > 0
      ? { text: `${wrapped(a, binding.hadamard)} ⊙ ${wrapped(b, binding.hadamard)}`, binds: binding.hadamard }
      : { text: `${leftFactor(a)}·${wrapped(b, binding.product)}`, binds: binding.product }
  },
}

export const quotientNotation: Notation = {
  symbol: '÷',
  write: (operands) => ({ text: `${leftFactor(at(operands, 0))}/${wrapped(at(operands, 1), binding.power)}`, binds: binding.product }),
}

/** `1/a`. */
export const reciprocalNotation: Notation = {
  symbol: '1/( )',
  write: (operands) => ({ text: `1/${wrapped(at(operands, 0), binding.power)}`, binds: binding.product }),
}

/** `a^b`. */
export const powerNotation: Notation = {
  symbol: '^',
  write: (operands) => ({
    text: `${wrapped(at(operands, 0), binding.atom)}^${wrapped(at(operands, 1), binding.atom)}`,
    binds: binding.power,
  }),
}

/** `a·bᵀ`: the product of matrices, either transposed. */
export const matrixProductNotation: Notation = {
  symbol: '·',
  multilinear: true,
  write: (operands, { transA, transB }) => {
    const factor = (x: Written, transposed: unknown, left: boolean) =>
      transposed ? `${wrapped(x, binding.atom)}ᵀ` : left ? leftFactor(x) : wrapped(x, binding.product)
    return { text: `${factor(at(operands, 0), transA, true)}·${factor(at(operands, 1), transB, false)}`, binds: binding.product }
  },
}

/** `aᵀ` for a matrix, a call otherwise. */
export const transposeNotation: Notation = {
  symbol: '( )ᵀ',
  write: (operands, params) =>
    at(operands, 0).shape.length === 2 ? postfix('ᵀ').write(operands, params) : call('transpose').write(operands, params),
}
