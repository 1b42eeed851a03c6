/** The types of the transforms: those of the function's arguments, and no `any`. Checked by the compiler. */

import { expectTypeOf, test } from 'vitest'
import {
  customGradient,
  functionalCall,
  grad,
  hessian,
  hvp,
  jacobian,
  jvp,
  nn,
  optim,
  type Tensor,
  tensor,
  valueAndGrad,
  vjp,
} from '../../lib/index.js'

const x = tensor([1, 2])
interface Weights {
  layers: [{ w: Tensor; b: Tensor }]
  scale: Tensor
  name: string
}
const cost = (m: Weights, t: Tensor) => m.scale.mul(t).sum()
const one = (a: Tensor) => a.sum()
const two = (a: Tensor, b: Tensor) => a.mul(b).sum()
const model = new nn.Linear(2, 1)

test('gradients have the types of the arguments', () => {
  expectTypeOf(grad(one)).parameters.toEqualTypeOf<[a: Tensor | number]>()
  expectTypeOf(grad(one)).returns.toEqualTypeOf<Tensor>()
  expectTypeOf(grad((t) => t.sum())(x)).toEqualTypeOf<Tensor>()
  expectTypeOf(grad(two, { argnums: 1 })).returns.toEqualTypeOf<Tensor>()
  expectTypeOf(grad(two, { argnums: [0, 1] })).returns.toEqualTypeOf<[Tensor, Tensor]>()
  expectTypeOf(grad(cost)).parameters.toEqualTypeOf<[m: Weights, t: Tensor | number]>()
  expectTypeOf(grad(cost)).returns.toEqualTypeOf<Weights>()
  expectTypeOf(grad(cost, { argnums: [1, 0] })).returns.toEqualTypeOf<[Tensor, Weights]>()
  expectTypeOf(grad((a: Tensor, n: number) => a.mul(n).sum())).parameters.toEqualTypeOf<[a: Tensor | number, n: number]>()
  expectTypeOf(grad((ps: Tensor[]) => (ps[0] as Tensor).sum())(model.parameters())).toEqualTypeOf<Tensor[]>()
  expectTypeOf(grad((p: Record<string, Tensor>) => functionalCall(model, p, x).sum())(model.stateDict())).toEqualTypeOf<
    Record<string, Tensor>
  >()
  expectTypeOf(grad(grad(one))(2)).toEqualTypeOf<Tensor>()
  // @ts-expect-error a string is no argument of this function
  if (Math.random() < 0) grad(one)('text')
  // @ts-expect-error there is no such option
  if (Math.random() < 0) grad(one, { argnum: 0 })
})

test('values come with their own types', () => {
  expectTypeOf(valueAndGrad(cost)).returns.toEqualTypeOf<[value: Tensor, gradient: Weights]>()
  const [[value, aux], g] = valueAndGrad((t: Tensor) => [t.sum(), { doubled: t.mul(2) }], { hasAux: true })(x)
  expectTypeOf(value).toEqualTypeOf<Tensor>()
  expectTypeOf(aux.doubled).toEqualTypeOf<Tensor>()
  expectTypeOf(g).toEqualTypeOf<Tensor>()
  expectTypeOf(valueAndGrad(model, (a: Tensor) => model.forward(a).sum())).parameters.toEqualTypeOf<[a: Tensor]>()
  expectTypeOf(valueAndGrad(model, (a: Tensor) => model.forward(a).sum())).returns.toEqualTypeOf<
    [value: Tensor, gradient: Record<string, Tensor>]
  >()
  expectTypeOf(grad(model, (id: string) => model.forward(x).sum().mul(id.length))('a')).toEqualTypeOf<Record<string, Tensor>>()
  optim.gradientDescent({ learningRate: 0.1 }).apply(model, grad(model, () => model.forward(x).sum())())
})

test('both modes, and all derivatives', () => {
  const [y, pullback] = vjp((a: Tensor, m: { w: Tensor }) => ({ p: a.mul(m.w), q: a }), x, { w: x })
  expectTypeOf(y.p).toEqualTypeOf<Tensor>()
  const [da, dm] = pullback({ p: x, q: x })
  expectTypeOf(da).toEqualTypeOf<Tensor>()
  expectTypeOf(dm).toEqualTypeOf<{ w: Tensor }>()
  expectTypeOf(jvp(one, [x], [x])).toEqualTypeOf<[value: Tensor, tangent: Tensor]>()
  expectTypeOf(jvp(one, [2], [1])[1]).toEqualTypeOf<Tensor>()
  expectTypeOf(jacobian((a: Tensor) => a.mul(2))(x)).toEqualTypeOf<Tensor>()
  const j = jacobian((m: { u: Tensor; v: Tensor }) => [m.u.mul(m.v), m.u])({ u: x, v: x })
  expectTypeOf(j[0].u).toEqualTypeOf<Tensor>()
  expectTypeOf(hessian(one)(x)).toEqualTypeOf<Tensor>()
  expectTypeOf(hessian((m: { u: Tensor }) => m.u.square().sum())({ u: x }).u.u).toEqualTypeOf<Tensor>()
  expectTypeOf(hvp(one, x, x)).toEqualTypeOf<Tensor>()
  expectTypeOf(hvp((m: { u: Tensor }) => m.u.square().sum(), { u: x }, { u: x })).toEqualTypeOf<{ u: Tensor }>()
  expectTypeOf(customGradient((a: Tensor, b: Tensor) => [a.mul(b), (g) => [g.mul(b), undefined]])).parameters.toEqualTypeOf<
    [a: Tensor, b: Tensor]
  >()
})
