/** Elements of tuples: how the results of a primitive that has several are taken apart. */

import type { Tensor } from '../tensor/tensor.js'
import { apply, type GeneralPrimitive } from './primitive.js'
import { Tuple } from './tuple.js'

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
    part: index,
    evaluate: ([x]) => partOf(x) as Tensor,
    inProgram: ([x]) => !(x instanceof Tuple),
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
