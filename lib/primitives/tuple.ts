/**
 * Tuples: the value of a primitive with several results, for interpreters one value like any other. Users never see one: whoever
 * applies such a primitive takes its elements at once.
 */

import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { apply, type GeneralPrimitive } from './primitive.js'

/** Several tensors as one. Among cotangents and tangents an absent part is 0. */
export class Tuple extends Tensor {
  constructor(readonly parts: readonly (Tensor | undefined)[]) {
    super([], parts.some((x) => x !== undefined && isFloat(x.dtype)) ? 'float64' : 'int32')
  }

  /** Part by part, the sum of two tuples of cotangents. */
  plus(other: Tuple, add: (a: Tensor, b: Tensor) => Tensor): Tuple {
    const count = Math.max(this.parts.length, other.parts.length)
    return new Tuple(
      Array.from({ length: count }, (_, i) => {
        const [a, b] = [this.parts[i], other.parts[i]]
        return a && b ? add(a, b) : (a ?? b)
      }),
    )
  }
}

/** One row an element: its place is no parameter, so that a rule can read it without a cast. */
const rows: GeneralPrimitive[] = []

function elementRow(index: number): GeneralPrimitive {
  const partOf = (x: Tensor | undefined) => (x as Tuple).parts[index]
  rows[index] ??= {
    kind: 'general',
    name: 'element',
    doc: 'one of several results',
    infer: ([x]) => partOf(x as Tensor) as Tensor,
    lower: () => {
      throw new Error('element: evaluated, not lowered')
    },
    samples: () => [],
    evaluate: ([x]) => partOf(x) as Tensor,
    batch: ({ inputs: [x] }) => partOf(x) as Tensor,
    jvp: ([t]) => partOf(t),
    vjp: (g) => [new Tuple(Array.from({ length: index + 1 }, (_, i) => (i === index ? g : undefined)))],
  }
  return rows[index] as GeneralPrimitive
}

/** The first `count` results of a primitive that has several. */
export function elements(value: Tensor, count: number): Tensor[] {
  return Array.from({ length: count }, (_, i) => apply(elementRow(i), [value], {}))
}
