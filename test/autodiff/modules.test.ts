/** Gradients of modules: by their parameters, by given ones, and applied by an optimiser; numbers alone; what cannot be is refused. */

import { describe, expect, test } from 'vitest'
import {
  FBGD,
  functionalCall,
  grad,
  hessian,
  hvp,
  jacobian,
  jvp,
  loss,
  nn,
  optim,
  Random,
  type Tensor,
  tensor,
  valueAndGrad,
  vjp,
} from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'

announce('gradients of modules')

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const build = (dtype: 'float32' | 'float64' = 'float64') => {
  const rng = new Random(3)
  return new nn.Sequential(new nn.Linear(3, 4, { rng, dtype }), new nn.Tanh(), new nn.Linear(4, 2, { rng, dtype }))
}
const rng = new Random(8)
const x = rng.normal([5, 3], { dtype: 'float64' })
const y = rng.normal([5, 2], { dtype: 'float64' })

const near = (a: Tensor | undefined, b: Tensor | undefined, tolerance = 1e-12) => {
  expect(a?.shape).toEqual(b?.shape)
  for (let i = 0; i < (a?.size ?? 0); i++) {
    const [u, v] = [a?.data[i] as number, b?.data[i] as number]
    expect(Math.abs(u - v)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(v)))
  }
}

/** Central differences of a cost by every element of a parameter. */
function differences(model: nn.Module, name: string, cost: () => number): Tensor {
  const before = model.stateDict()
  const values = before[name] as Tensor
  const slopes = Array.from(values.data, (_, i) => {
    const [up, down] = [1e-5, -1e-5].map((h) => {
      const data = Float64Array.from(values.data)
      data[i] = (data[i] as number) + h
      model.loadStateDict({ ...before, [name]: tensor(data, { shape: values.shape }) })
      return cost()
    }) as [number, number]
    return (up - down) / 2e-5
  })
  model.loadStateDict(before)
  return tensor(Float64Array.from(slopes), { shape: values.shape })
}

describe.each(present)('on %s', (engine) => {
  const on = (name: string, body: () => void) => test(name, () => using(engine, body))

  on('valueAndGrad of a model: a tree named like stateDict, every way the same, and right', () => {
    const model = build()
    const cost = (a: Tensor, b: Tensor) => loss.mse(model.forward(a), b)
    const [value, gradients] = valueAndGrad(model, cost)(x, y)
    expect(Object.keys(gradients)).toEqual(Object.keys(model.stateDict()))
    expect(value.item()).toBe(cost(x, y).item())
    for (const [name, g] of Object.entries(gradients))
      near(
        g,
        differences(model, name, () => cost(x, y).item()),
        1e-8,
      )
    const functional = (p: Record<string, Tensor>) => loss.mse(functionalCall(model, p, x), y)
    const others = [
      grad(model, cost)(x, y),
      grad(functional)(model.stateDict()),
      grad((_: Record<string, Tensor>) => cost(x, y))(Object.fromEntries(model.namedParameters())),
    ]
    for (const other of others) for (const [name, g] of Object.entries(gradients)) near(other[name], g)
    const list = grad((_: Tensor[]) => cost(x, y))(model.parameters())
    list.forEach((g, i) => {
      near(g, Object.values(gradients)[i])
    })
    const [first] = model.parameters() as [nn.Parameter]
    near(grad((_: Tensor) => cost(x, y))(first), gradients['0.weight'])
    near(grad((W: Tensor) => W.square().sum().add(cost(x, y)))(first), (gradients['0.weight'] as Tensor).add(first.mul(2)))
    near(vjp((_: Tensor) => cost(x, y), first)[1](1)[0], gradients['0.weight'])
    near(jacobian((_: Tensor) => cost(x, y))(first), gradients['0.weight'])
    const direction = new Random(4).normal(first.shape, { dtype: 'float64' })
    near(jvp((_: Tensor) => cost(x, y), [first], [direction])[1], (gradients['0.weight'] as Tensor).mul(direction).sum())
    // Nothing stays bound.
    near(model.forward(x), build().forward(x))
    const [[, aux], same] = valueAndGrad(
      model,
      (a: Tensor, b: Tensor) => {
        const p = model.forward(a)
        return [loss.mse(p, b), p]
      },
      { hasAux: true },
    )(x, y)
    near(aux, model.forward(x))
    near(same['2.bias'], gradients['2.bias'])
  })

  on('second order over parameters: hessian and hvp', () => {
    const model = new nn.Linear(2, 1, { rng: new Random(1), dtype: 'float64' })
    const input = f64([
      [1, 2],
      [3, -1],
    ])
    const cost = () => model.forward(input).tanh().square().sum()
    const by = hessian((W: Tensor) => functionalCall(model, { weight: W }, input).tanh().square().sum())(model.weight.resolve())
    near(hessian((_: Tensor) => cost())(model.weight), by)
    expect(by.shape).toEqual([1, 2, 1, 2])
    const v = f64([[0.5, -2]])
    near(
      hvp((_: Tensor) => cost(), model.weight, v),
      by
        .reshape([2, 2])
        .matmul(v.reshape([2, 1]))
        .reshape([1, 2]),
    )
    // A parameter of the outer function is that of the inner one.
    near(
      grad((_: Tensor) =>
        grad((_w: Tensor) => cost())(model.weight)
          .mul(v)
          .sum(),
      )(model.weight),
      hvp((_: Tensor) => cost(), model.weight, v),
    )
  })

  on('frozen parameters have no gradient; a model without any to differentiate by is refused', () => {
    const model = build()
    ;(model.modules()[1] as nn.Module).freeze()
    expect(Object.keys(grad(model, () => model.forward(x).sum())())).toEqual(['2.weight', '2.bias'])
    model.freeze()
    expect(codeOf(() => grad(model, () => model.forward(x).sum())())).toBe('ERR_VALUE')
    expect(codeOf(() => grad((_: Tensor[]) => model.forward(x).sum())([...model.parameters(), ...model.parameters()]))).toBe('ERR_VALUE')
  })

  on('what would have no gradient is refused: assigning inside a differentiated function', () => {
    const model = build()
    const before = model.stateDict()
    const attempts = [
      () =>
        grad((p: Record<string, Tensor>) => {
          model.loadStateDict(p)
          return model.forward(x).sum()
        })(model.stateDict()),
      () =>
        grad((W: Tensor) => {
          ;(model.parameters()[0] as nn.Parameter).assign(W)
          return model.forward(x).sum()
        })(before['0.weight'] as Tensor),
      () =>
        grad((_: Tensor[]) => {
          ;(model.parameters()[0] as nn.Parameter).assign(before['0.weight'] as Tensor)
          return model.forward(x).sum()
        })(model.parameters()),
      () =>
        jvp(
          (W: Tensor) => {
            model.loadStateDict({ '0.weight': W }, { strict: false })
            return model.forward(x).sum()
          },
          [before['0.weight'] as Tensor],
          [before['0.weight'] as Tensor],
        ),
    ]
    for (const attempt of attempts) {
      expect(codeOf(attempt)).toBe('ERR_NOT_DIFFERENTIABLE')
      expect(attempt).toThrow('functionalCall')
    }
    expect(model.stateDict()).toEqual(before)
  })

  on('values as arrays', () => {
    const model = new nn.Linear(2, 1, { rng: new Random(1) })
    model.weight.assign([[1, 2]])
    expect(model.weight.toArray()).toEqual([[1, 2]])
    model.loadStateDict({ weight: [[3, 4]], bias: new Float32Array([5]) })
    expect(model.predict([[1, 1]]).toArray()).toEqual([[12]])
    model.loadStateDict({ weight: new Float64Array([6, 7]), bias: [0] })
    expect(model.weight.toArray()).toEqual([[6, 7]])
    expect(functionalCall(model, { bias: [1] }, tensor([[0, 0]])).toArray()).toEqual([[1]])
    expect(codeOf(() => model.weight.assign([1, 2]))).toBe('ERR_SHAPE')
    expect(codeOf(() => model.weight.assign(tensor([[1, 2]], { dtype: 'float64' })))).toBe('ERR_DTYPE')
    expect(codeOf(() => model.loadStateDict({ weight: [[1]], bias: [1] }))).toBe('ERR_STATE')
    expect(codeOf(() => functionalCall(model, { wait: [1] }, tensor([[0, 0]])))).toBe('ERR_STATE')
    expect(codeOf(() => functionalCall(model, { weight: [1] }, tensor([[0, 0]])))).toBe('ERR_STATE')
    expect(codeOf(() => functionalCall({} as nn.Module, {}, tensor([1])))).toBe('ERR_VALUE')
  })

  on('optimizer.apply is a trainer’s update, step by step', () => {
    const optimizers = {
      gradientDescent: () => optim.gradientDescent({ learningRate: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
      adam: () => optim.adam({ learningRate: 0.05, amsgrad: true }),
      adamW: () => optim.adamW({ learningRate: 0.05 }),
      rmsProp: () => optim.rmsProp({ learningRate: 0.01, momentum: 0.5, centered: true }),
      adagrad: () => optim.adagrad({ learningRate: 0.1, decay: 0.1 }),
    }
    for (const make of Object.values(optimizers)) {
      const [byHand, trained] = [build(), build()]
      const optimizer = make()
      const trainer = new FBGD(trained, { loss: loss.mse, optimizer: make() })
      for (let i = 0; i < 5; i++) {
        const [cost, gradients] = valueAndGrad(byHand, () => loss.mse(byHand.forward(x), y))()
        optimizer.apply(byHand, i % 2 ? Object.values(gradients) : gradients)
        expect(Math.abs(cost.item() - trainer.step(x, y))).toBeLessThan(1e-12)
      }
      const [a, b] = [byHand.stateDict(), trained.stateDict()]
      for (const name of Object.keys(a)) near(a[name], b[name])
    }
  })

  on('optimizer.apply: states of two models, frozen parameters, a rate of its own, misuse', () => {
    const [one, two, other] = [build(), build(), build()]
    const shared = optim.adam({ learningRate: 0.1 })
    const alone = optim.adam({ learningRate: 0.1 })
    const step = (model: nn.Module, optimizer: optim.AppliedOptimizer) =>
      optimizer.apply(model, grad(model, () => loss.mse(model.forward(x), y))())
    for (let i = 0; i < 3; i++) {
      step(one, shared)
      step(two, shared)
      step(other, alone)
    }
    for (const name of Object.keys(other.stateDict())) {
      near(one.stateDict()[name], other.stateDict()[name])
      near(two.stateDict()[name], other.stateDict()[name])
    }
    const model = build()
    const before = model.stateDict()
    const gradients = grad((p: Record<string, Tensor>) => functionalCall(model, p, x).sum())(model.stateDict())
    ;(model.modules()[1] as nn.Module).freeze()
    optim.gradientDescent({ learningRate: 1 }).apply(model, gradients, { learningRate: 0.5 })
    near(model.stateDict()['0.weight'], before['0.weight'])
    near(model.stateDict()['2.bias'], (before['2.bias'] as Tensor).sub((gradients['2.bias'] as Tensor).mul(0.5)))
    const now = model.stateDict()
    const sgd = optim.gradientDescent({ learningRate: 1 })
    expect(codeOf(() => sgd.apply(model, { ...gradients, nope: f64([1]) }))).toBe('ERR_STATE')
    expect(codeOf(() => sgd.apply(model, { '2.bias': f64([1]) }))).toBe('ERR_SHAPE')
    expect(codeOf(() => sgd.apply(model, { '2.weight': gradients['2.weight'] as Tensor, '2.bias': f64([1, NaN]) }))).toBe('ERR_DIVERGED')
    expect(codeOf(() => sgd.apply(model, [f64([1])]))).toBe('ERR_STATE')
    expect(codeOf(() => sgd.apply(model, 3 as never))).toBe('ERR_VALUE')
    expect(codeOf(() => sgd.apply(model, gradients, { rate: 1 } as never))).toBe('ERR_OPTION')
    expect(codeOf(() => sgd.apply(model, gradients, { learningRate: 0 }))).toBe('ERR_RANGE')
    expect(model.stateDict()).toEqual(now)
  })

  on('running statistics move in an eager gradient, and are no part of it', () => {
    const norm = new nn.BatchNorm1d(3)
    const batch = tensor([
      [1, 2, 3],
      [3, 5, 9],
    ])
    const gradients = grad(norm, () => norm.forward(batch).square().sum())()
    expect(Object.keys(gradients)).toEqual(norm.namedParameters().map(([name]) => name))
    expect(norm.buffers().some((b) => b.data.some((v) => v !== 0 && v !== 1))).toBe(true)
  })

  on('numbers alone are float64, beside tensors they take their type', () => {
    const f = (a: Tensor, b: Tensor) => a.log().add(a.mul(b)).sub(b.sin())
    expect(grad(f)(2, 5).dtype).toBe('float64')
    expect(grad(f)(2, 5).item()).toBe(5.5)
    expect(grad(f, { argnums: [0, 1] })(2, 5).map((g) => g.item())).toEqual([5.5, 1.7163378145367738])
    expect(valueAndGrad(f)(2, 5)[0].item()).toBe(11.652071455223084)
    expect(vjp(f, 2, 5)[1](1).map((g) => g.item())).toEqual([5.5, 1.7163378145367738])
    expect(jvp(f, [2, 5], [1, 0])[1].item()).toBe(5.5)
    expect(jacobian(f)(2, 5).item()).toBe(5.5)
    expect(hessian(f)(2, 5).item()).toBe(-0.25)
    expect(hvp((a: Tensor) => a.log(), 2, 1).item()).toBe(-0.25)
    expect(grad(f, { argnums: [0, 1] })(tensor(2), 5).map((g) => g.dtype)).toEqual(['float32', 'float32'])
    expect(grad(f, { argnums: 1 })(f64(2), 5).dtype).toBe('float64')
    expect(jvp(f, [f64(2), 5], [1, f64(0)])[1].item()).toBe(5.5)
    // Beside a tensor, a number that is not differentiated by is a number.
    expect(grad((a: Tensor, axis: number) => a.sum(axis).sum())(tensor([1, 2]), 0).toArray()).toEqual([1, 1])
  })
})
