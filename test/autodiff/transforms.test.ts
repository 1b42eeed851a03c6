/** The transforms alone, nested in each other, over trees, and misused. */

import { describe, expect, test } from 'vitest'
import {
  checkpoint,
  customGradient,
  grad,
  hessian,
  hvp,
  jacobian,
  jvp,
  stopGradient,
  type Tensor,
  tensor,
  valueAndGrad,
  vjp,
} from '../../lib/index.js'
import { compile } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { observing } from '../../lib/primitives/primitive.js'
import { emptyTensor } from '../../lib/tensor/tensor.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('the transforms')

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const close = (actual: Tensor, expected: unknown, tolerance = 1e-12) => {
  const like = f64(expected)
  expect(actual.shape).toEqual(like.shape)
  expect(farthest(actual.data, like.data, tolerance)).toBe('')
}

/** The message of what `f` throws; its code is checked. */
function messageOf(code: string, f: () => unknown): string {
  expect(codeOf(f)).toBe(code)
  try {
    f()
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

describe.each(present)('on %s', (engine) => {
  const on = (name: string, body: () => void) => test(name, () => using(engine, body))

  on('grad by each argument, by several, and in the order asked for', () => {
    const f = (a: Tensor, b: Tensor, c: Tensor) => a.mul(b).add(c.square()).sum()
    const args = [f64([1, 2]), f64([3, 4]), f64([5, 6])] as const
    close(grad(f)(...args), [3, 4])
    close(grad(f, { argnums: 1 })(...args), [1, 2])
    const [c, a] = grad(f, { argnums: [2, 0] })(...args)
    close(c, [10, 12])
    close(a, [3, 4])
  })

  on('valueAndGrad hands aux through untouched', () => {
    const f = (x: Tensor) => [x.square().sum(), { doubled: x.mul(2), note: 'kept' }] as const
    const [[value, aux], gradient] = valueAndGrad(f, { hasAux: true })(f64([1, -3]))
    close(value, 10)
    close(aux.doubled, [2, -6])
    expect(aux.note).toBe('kept')
    close(gradient, [2, -6])
  })

  on('a value unrelated to the argument has a zero gradient', () => {
    close(grad((_: Tensor) => f64(3))(f64([1, 2])), [0, 0])
    close(grad((x: Tensor) => x.greater(0).cast('float64').sum())(f64([1, 2])), [0, 0])
    close(jvp((_: Tensor) => f64(3), [f64(1)], [f64(1)])[1], 0)
  })

  on('trees as arguments and values', () => {
    const model = { layers: [{ w: f64([1, 2]), b: f64(0.5) }] as [{ w: Tensor; b: Tensor }], scale: f64(3) }
    const f = (m: typeof model) => {
      const [layer] = m.layers
      return layer.w.sum().add(layer.b).mul(m.scale)
    }
    const gradient = grad(f)(model)
    close(gradient.layers[0].w, [3, 3])
    close(gradient.layers[0].b, 3)
    close(gradient.scale, 3.5)
    const [value, tangent] = jvp(f, [model], [{ layers: [{ w: f64([1, 0]), b: f64(0) }], scale: f64(2) }])
    close(value, 10.5)
    close(tangent, 3 + 2 * 3.5)
    const [outputs, pullback] = vjp((x: Tensor) => ({ twice: x.mul(2), pair: [x.square(), x] }), f64([3]))
    close(outputs.pair[0], [9])
    close(pullback({ twice: f64([1]), pair: [f64([10]), f64([100])] })[0], [2 + 60 + 100])
    const j = jacobian((x: Tensor) => ({ a: x.mul(2), b: x.sum() }))(f64([1, 2]))
    close(j.a, [
      [2, 0],
      [0, 2],
    ])
    close(j.b, [1, 1])
    const byTree = jacobian((m: { u: Tensor; v: Tensor }) => m.u.mul(m.v), { mode: 'forward' })({ u: f64([1, 2]), v: f64([3, 4]) })
    close(byTree.u, [
      [3, 0],
      [0, 4],
    ])
    close(byTree.v, [
      [1, 0],
      [0, 2],
    ])
  })

  on('jacobian: every mode gives the same, and auto takes the fewer passes', () => {
    const wide = (x: Tensor) => x.square().sum().reshape([1])
    const tall = (x: Tensor) => x.mul(f64([1, 2, 3, 4, 5]))
    const count = (f: (x: Tensor) => Tensor, x: Tensor, mode: 'forward' | 'reverse' | 'auto') => {
      let calls = 0
      const j = jacobian(
        (t: Tensor) => {
          calls++
          return f(t)
        },
        { mode },
      )(x)
      return { j, calls }
    }
    const many = f64([1, 2, 3, 4, 5])
    for (const [f, x] of [
      [wide, many],
      [tall, f64([2])],
    ] as const) {
      const [a, b, c] = (['forward', 'reverse', 'auto'] as const).map((mode) => count(f, x, mode).j) as [Tensor, Tensor, Tensor]
      close(a, b.toArray())
      close(c, b.toArray())
    }
    // Reverse mode evaluates the function once, forward once an input element.
    expect(count(wide, many, 'auto').calls).toBe(1)
    expect(count(wide, many, 'forward').calls).toBe(5)
    expect(count(tall, f64([2]), 'auto').calls).toBeLessThanOrEqual(2)
    const shaped = jacobian((x: Tensor) =>
      x.matmul(
        f64([
          [1, 2, 3],
          [4, 5, 6],
        ]),
      ),
    )(f64([[1, 1]]))
    expect(shaped.shape).toEqual([1, 3, 1, 2])
    close(shaped.reshape([3, 2]), [
      [1, 4],
      [2, 5],
      [3, 6],
    ])
  })

  on('hessian and hvp of a quadratic, a cubic and a product', () => {
    const a = f64([
      [2, 1],
      [1, 3],
    ])
    const quadratic = (x: Tensor) => x.matmul(a).dot(x).mul(0.5)
    close(hessian(quadratic)(f64([1, 2])), [
      [2, 1],
      [1, 3],
    ])
    close(hvp(quadratic, f64([1, 2]), f64([1, -1])), [1, -2])
    close(hessian((x: Tensor) => x.pow(3).sum())(f64([1, 2])), [
      [6, 0],
      [0, 12],
    ])
    close(hessian((x: Tensor) => x.prod())(f64([0, 0, 5])), [
      [0, 5, 0],
      [5, 0, 0],
      [0, 0, 0],
    ])
  })

  on('reverse over reverse, forward over forward, and each over the other', () => {
    const f = (x: Tensor) => x.sin().mul(x.exp())
    const at = 0.7
    // (eˣ sin x)″ = 2 eˣ cos x
    const second = 2 * Math.exp(at) * Math.cos(at)
    const d = (g: (x: Tensor) => Tensor) => (x: Tensor) => jvp(g, [x], [f64(1)])[1] as Tensor
    const r = (g: (x: Tensor) => Tensor) => grad(g) as (x: Tensor) => Tensor
    for (const [outer, inner] of [
      [r, r],
      [d, d],
      [r, d],
      [d, r],
    ] as const)
      close(outer(inner(f))(f64(at)), second)
    // Fourth derivative: −4 f
    close(r(d(r(d(f))))(f64(at)), -4 * Math.exp(at) * Math.sin(at), 1e-11)
  })

  on('no perturbation confusion', () => {
    // d/dx (x · d/dy (x + y)) = 1
    const one = f64(1)
    close(grad((x: Tensor) => x.mul(grad((y: Tensor) => x.add(y))(one)))(one), 1)
    const slope = (f: (x: Tensor) => Tensor) => (x: Tensor) => jvp(f, [x], [f64(1)])[1] as Tensor
    close(slope((x) => x.mul(slope((y) => x.add(y))(one)))(one), 1)
    close(slope((x) => x.mul(grad((y: Tensor) => x.add(y))(one)))(one), 1)
    close(grad((x: Tensor) => x.mul(slope((y) => x.add(y))(one)))(one), 1)
    // d/dx (x · d/dy (x y)) = 2x
    close(grad((x: Tensor) => x.mul(grad((y: Tensor) => x.mul(y))(one)))(f64(3)), 6)
    close(slope((x) => x.mul(slope((y) => x.mul(y))(one)))(f64(3)), 6)
    // The inner function differentiates by the outer variable itself.
    close(grad((x: Tensor) => grad((y: Tensor) => y.mul(x))(x))(f64(3)), 1)
  })

  on('vjp of a returned input and of one output twice', () => {
    const [value, pullback] = vjp((x: Tensor) => [x, x], f64([1, 2]))
    close(value[0], [1, 2])
    close(pullback([f64([1, 1]), f64([10, 20])])[0], [11, 21])
    // A pullback can be called again, with another cotangent.
    close(pullback([f64([1, 0]), f64([0, 0])])[0], [1, 0])
  })

  on('numbers stand for scalars', () => {
    expect(grad((x: Tensor) => x.square())(3).item()).toBe(6)
    expect(jvp((x: Tensor) => x.square(), [3], [1])[1].item()).toBe(6)
    expect(vjp((x: Tensor) => x.square(), 3)[1](2)[0].item()).toBe(12)
  })

  on('stopGradient is a constant in both modes and in the second order', () => {
    const f = (x: Tensor) => x.mul(stopGradient(x))
    close(grad(f)(f64(3)), 3)
    close(jvp(f, [f64(3)], [f64(1)])[1], 3)
    close(grad(grad(f) as (x: Tensor) => Tensor)(f64(3)), 0)
  })

  on('customGradient: its own rule, in both modes, nested, and of several arguments', () => {
    const tripled = customGradient((x) => [x.square(), (g) => g.mul(x).mul(3)])
    close(tripled(f64(2)), 4)
    close(grad(tripled)(f64(2)), 6)
    close(jvp(tripled, [f64(2)], [f64(5)])[1], 30)
    // The rule's own derivative: (3x)′ = 3, whichever mode is outside.
    close(grad(grad(tripled) as (x: Tensor) => Tensor)(f64(2)), 3)
    close(
      hvp((x: Tensor) => tripled(x).sum(), f64([1, 2]), f64([1, 10])),
      [3, 30],
    )
    close(grad((x: Tensor) => jvp(tripled, [x], [f64(1)])[1] as Tensor)(f64(2)), 3)
    close(grad((x: Tensor) => tripled(tripled(x)))(f64(2)), 3 * 4 * 6)
    // The value keeps its rule for a transform outside of the one that records it: 3x for x², then the rule's own 3.
    const both = (x: Tensor) => {
      const [value, slope] = valueAndGrad(tripled)(x)
      return value.add(slope)
    }
    close(grad(both)(f64(2)), 9)
    close(jvp(both, [f64(2)], [f64(1)])[1], 9)
    const product = customGradient((a, b) => [a.mul(b), (g) => [g.mul(b), undefined]])
    close(grad(product, { argnums: [0, 1] })(f64(2), f64(5))[0], 5)
    close(grad(product, { argnums: [0, 1] })(f64(2), f64(5))[1], 0)
    close(jvp(product, [f64(2), f64(5)], [f64(1), f64(1)])[1], 5)
    close(grad((x: Tensor) => product(f64(4), x))(f64(1)), 0)
  })

  on('customGradient in a compiled program keeps its rule', () => {
    const tripled = customGradient((x) => [x.square(), (g) => g.mul(x).mul(3)])
    const out = emptyTensor([2], 'float64')
    const specs = [
      { name: 'x', shape: [2], dtype: 'float64' },
      { name: 'out', shape: [2], dtype: 'float64', writable: true },
    ] as const
    const plan = compile(specs, new StateLayout(), { dtype: 'float64' }, (r) => {
      r.output(1, grad((x: Tensor) => tripled(x).sum())(r.input(0)))
    })
    plan.run(undefined, [Float64Array.of(2, -1), out.data])
    close(out, [6, -3])
  })

  on('checkpoint: the same derivatives of every order, the forward part computed again', () => {
    const f = (x: Tensor) => x.sin().mul(x).exp()
    const again = checkpoint(f)
    const x = f64([0.3, -0.8])
    const total = (g: (x: Tensor) => Tensor) => (t: Tensor) => g(t).sum()
    close(again(x), f(x).toArray())
    close(grad(total(again))(x), grad(total(f))(x).toArray())
    close(jvp(again, [x], [f64([1, 2])])[1], jvp(f, [x], [f64([1, 2])])[1].toArray())
    close(hessian(total(again))(x), hessian(total(f))(x).toArray(), 1e-11)
    const sines = (g: (x: Tensor) => Tensor) => {
      let count = 0
      observing(
        ({ name }) => {
          if (name === 'sin') count++
        },
        () => grad(total(g))(x),
      )
      return count
    }
    expect([sines(f), sines(again)]).toEqual([1, 2])
  })

  on('float32 arguments give float32 derivatives', () => {
    const x = tensor([1, 2])
    expect(grad((t: Tensor) => t.square().sum())(x).dtype).toBe('float32')
    expect(hessian((t: Tensor) => t.square().sum())(x).dtype).toBe('float32')
    // A cast on the path brings the cotangent back to the argument's type.
    const mixed = grad((t: Tensor) => t.cast('float64').square().sum())(x)
    expect(mixed.dtype).toBe('float32')
    expect(mixed.toArray()).toEqual([2, 4])
  })

  on('a large tape neither overflows the stack nor loses a term', () => {
    const f = (x: Tensor) => {
      let y = x
      for (let i = 0; i < 20_000; i++) y = y.add(x)
      return y
    }
    close(grad(f)(f64(1)), 20_001)
  })
})

describe('misuse', () => {
  const vector = tensor([1, 2])
  test('a gradient of what is not a scalar names jacobian and vjp', () => {
    const message = messageOf('ERR_NOT_SCALAR', () => grad((x: Tensor) => x.mul(2))(vector))
    expect(message).toContain('jacobian')
    expect(message).toContain('vjp')
    expect(message).toContain('[2]')
    expect(codeOf(() => grad((x: Tensor) => [x.sum(), x.sum()])(vector))).toBe('ERR_NOT_SCALAR')
    expect(codeOf(() => hvp((x: Tensor) => x.mul(2), vector, vector))).toBe('ERR_NOT_SCALAR')
  })
  test('integer primals', () => {
    const ints = tensor(Int32Array.of(1, 2))
    for (const attempt of [
      () => grad((x: Tensor) => x.sum())(ints),
      () => vjp((x: Tensor) => x, ints),
      () => jvp((x: Tensor) => x, [ints], [ints]),
      () => jacobian((x: Tensor) => x)(ints),
    ])
      expect(messageOf('ERR_DTYPE', attempt)).toContain('int32')
  })
  test('a cotangent or tangent of another shape, type or number', () => {
    const [, pullback] = vjp((x: Tensor) => x.mul(2), vector)
    expect(messageOf('ERR_SHAPE', () => pullback(tensor([1, 2, 3])))).toContain('[2]')
    expect(codeOf(() => pullback(tensor([1, 2], { dtype: 'float64' })))).toBe('ERR_SHAPE')
    expect(codeOf(() => pullback([vector, vector] as never))).toBe('ERR_SHAPE')
    expect(codeOf(() => jvp((x: Tensor) => x, [vector], [tensor([1])]))).toBe('ERR_SHAPE')
    expect(codeOf(() => jvp((x: Tensor) => x, [vector], [] as never))).toBe('ERR_SHAPE')
    expect(codeOf(() => jvp((x: Tensor) => x, vector as never, vector as never))).toBe('ERR_VALUE')
  })
  test('what is not a function, not a tensor, or returns none', () => {
    for (const transform of [grad, valueAndGrad, jacobian, hessian, vjp, customGradient, checkpoint])
      expect(messageOf('ERR_VALUE', () => (transform as (f: unknown) => unknown)(vector))).toContain('function')
    expect(codeOf(() => jvp(3 as never, [vector], [vector]))).toBe('ERR_VALUE')
    expect(codeOf(() => grad((x: Tensor) => x.sum())('text' as never))).toBe('ERR_VALUE')
    expect(codeOf(() => grad((x: Tensor) => x.sum())({ a: 1 } as never))).toBe('ERR_VALUE')
    expect(codeOf(() => grad((_: Tensor) => 3)(vector))).toBe('ERR_VALUE')
  })
  test('argnums outside the arguments, unknown options and modes', () => {
    expect(codeOf(() => grad((x: Tensor) => x.sum(), { argnums: 1 as 0 })(vector))).toBe('ERR_RANGE')
    expect(messageOf('ERR_OPTION', () => grad((x: Tensor) => x, { argnum: 0 } as never))).toContain("did you mean 'argnums'?")
    expect(codeOf(() => jacobian((x: Tensor) => x, { mode: 'sideways' as never }))).toBe('ERR_OPTION')
  })
  test('an error inside the function leaves no level open', () => {
    expect(() =>
      grad((_: Tensor) => {
        throw new Error('mine')
      })(vector),
    ).toThrow('mine')
    expect(grad((x: Tensor) => x.square().sum())(vector).toArray()).toEqual([2, 4])
  })
})
