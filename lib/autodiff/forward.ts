/** Forward mode (3.48 – 3.49): tangents v̇ travel with the values, from inputs to outputs. */

import { broadcastTo } from '../primitives/broadcast.js'
import { add } from '../primitives/elementwise.js'
import { apply, type Params, type Primitive, Trace, Traced } from '../primitives/primitive.js'
import { zeros } from '../tensor/creation.js'
import type { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'

/** A value with its tangent; both live at the level below. */
export class Dual extends Traced {
  constructor(
    override readonly trace: ForwardTrace,
    value: Tensor,
    readonly tangent: Tensor,
    /** What made it; an argument where undefined. */
    readonly primitive?: Primitive,
  ) {
    super(trace, value)
  }
}

export class ForwardTrace extends Trace {
  /** Whether a tensor is one of this trace. */
  owns(x: Tensor): x is Dual {
    return x instanceof Dual && x.trace === this
  }

  override describe(x: Traced): string {
    return (x as Dual).primitive?.name ?? 'an argument'
  }

  apply(primitive: Primitive, inputs: readonly Tensor[], params: Params): Tensor {
    const values = inputs.map((x) => (this.owns(x) ? x.value : x))
    const tangents = inputs.map((x, i) => (this.owns(x) && isFloat((values[i] as Tensor).dtype) ? x.tangent : undefined))
    if (primitive.kind === 'general' && primitive.both && tangents.some((t) => t !== undefined)) {
      const { output, tangent } = primitive.both(tangents, values)
      return new Dual(this, output, tangent, primitive)
    }
    const output = apply(primitive, values, params)
    const moving = isFloat(output.dtype) && tangents.some((t) => t !== undefined)
    const tangent = moving ? push(primitive, tangents, values, output, params, this.level) : undefined
    return tangent === undefined ? output : new Dual(this, output, tangent, primitive)
  }
}

/** The tangent of a primitive's output, by the kind of its row; undefined is zero. */
export function push(
  primitive: Primitive,
  tangents: readonly (Tensor | undefined)[],
  inputs: readonly Tensor[],
  output: Tensor,
  params: Params,
  level = 0,
): Tensor | undefined {
  switch (primitive.kind) {
    case 'elementwise': {
      let total: Tensor | undefined
      tangents.forEach((t, i) => {
        const part = t && primitive.derivatives[i]?.(t, inputs, output)
        if (part) total = total === undefined ? part : add(total, part)
      })
      return total && broadcastTo(total, output.shape)
    }
    case 'linear': {
      // Integer operands (indices) pass as they are; an absent tangent of a floating operand is zero.
      const full = tangents.map((t, i) => {
        const x = inputs[i] as Tensor
        return t ?? (isFloat(x.dtype) ? zeros(x.shape, { dtype: x.dtype }) : x)
      })
      return apply(primitive, full, params)
    }
    case 'general':
      return primitive.jvp(tangents, { inputs, output, params, level })
    case 'nondifferentiable':
      return undefined
  }
}
