/**
 * What a function closes over, through every transform: a constant, a tensor of an outer function, a parameter, a draw; plain,
 * behind `checkpoint` and behind `customGradient`; eagerly and in a compiled module. Values and derivatives against differences.
 */

import { describe, expect, test } from 'vitest'
import {
  checkpoint,
  compile,
  customGradient,
  FBGD,
  grad,
  hessian,
  hvp,
  jacobian,
  jvp,
  loss,
  nn,
  Random,
  scan,
  seed,
  type Tensor,
  tensor,
  valueAndGrad,
  vjp,
  vmap,
} from '../../lib/index.js'
import { isOp } from '../../lib/plan/graph.js'
import { record } from '../../lib/plan/record.js'
import { simplify } from '../../lib/plan/simplify.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'

announce('closures')

type Unary = (t: Tensor) => Tensor
const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const at = f64([0.3, -0.7, 1.1])

/** The derivative that a function has, as a rule. */
const ruleOf =
  (f: Unary) =>
  (t: Tensor): [Tensor, (g: Tensor) => Tensor] => {
    const [value, pullback] = vjp(f, t)
    return [value, (g) => pullback(g)[0]]
  }

/** Ways of wrapping a function of one tensor that change nothing but how it is differentiated. */
const wraps: Record<string, (f: Unary) => Unary> = {
  plain: (f) => f,
  checkpoint: (f) => checkpoint(f),
  customGradient: (f) => customGradient(ruleOf(f)),
  'checkpoint in customGradient': (f) => customGradient(ruleOf(checkpoint(f))),
  'checkpoint in checkpoint': (f) => checkpoint((t: Tensor) => checkpoint(f)(t)),
  'customGradient without arguments': (f) => (t) => customGradient(() => [f(t), () => []])(),
  'checkpoint without arguments': (f) => (t) => checkpoint(() => f(t))(),
}

const parameter = new nn.Parameter(at)

/** Functions of w that hand a wrapped function something to close over; `x` is what the derivative is by. */
const ways: Record<string, { x: Tensor; f: (wrap: (f: Unary) => Unary) => Unary }> = {
  'a constant': { x: at, f: (wrap) => (w) => wrap((t) => t.mul(f64([2, 3, 4])).tanh())(w.mul(2)).mul(w) },
  'an outer tensor': { x: at, f: (wrap) => (w) => wrap((t) => t.mul(w.square()).tanh().add(w))(w.mul(2)) },
  'only an outer tensor': { x: at, f: (wrap) => (w) => wrap(() => w.mul(w).tanh())(f64(1)) },
  'an intermediate of an outer function': {
    x: at,
    f: (wrap) => (w) => {
      const u = w.sin()
      return wrap((t) => t.mul(u).add(u.square()))(w)
    },
  },
  'a parameter': { x: parameter, f: (wrap) => () => wrap((t) => t.mul(parameter).tanh().add(parameter))(parameter.mul(2)) },
  'a draw': {
    x: at,
    f: (wrap) => (w) => {
      const rng = new Random(5)
      return wrap((t) => t.mul(rng.normal([3], { dtype: 'float64' })).tanh())(w.mul(2))
    },
  },
}

const h = 1e-5
/** f at a moved point: of a parameter, its values are moved. */
function moved(f: Unary, x: Tensor, by: (i: number) => number): Tensor {
  const values = Float64Array.from(x.data, (v, i) => v + by(i))
  if (x !== parameter) return f(tensor(values))
  const before = tensor(parameter.data.slice() as Float64Array)
  parameter.assign(tensor(values))
  try {
    return f(parameter)
  } finally {
    parameter.assign(before)
  }
}
/** The derivative of f along u by a central difference. */
const slope = (f: Unary, x: Tensor, u: readonly number[]): number[] => {
  const [up, down] = [1, -1].map((s) => moved(f, x, (i) => s * h * (u[i] as number)).data as Float64Array) as [Float64Array, Float64Array]
  return Array.from(up, (v, i) => (v - (down[i] as number)) / (2 * h))
}
const units = [0, 1, 2].map((k) => [0, 1, 2].map((i) => (i === k ? 1 : 0)))
const near = (actual: Tensor, expected: readonly number[], tolerance = 1e-8) => {
  expect(actual.size).toBe(expected.length)
  actual.data.forEach((v, i) => {
    expect(Math.abs((v as number) - (expected[i] as number))).toBeLessThan(tolerance * Math.max(1, Math.abs(expected[i] as number)))
  })
}

describe.each(present)('on %s', (engine) => {
  describe.each(Object.entries(ways))('%s', (_, { x, f: make }) => {
    test.each(Object.entries(wraps))('%s', (_name, wrap) => {
      using(engine, () => {
        const f = make(wrap)
        const plain = make((g) => g)
        const total = (t: Tensor) => f(t).sum()
        const value = [...(plain(x).data as Float64Array)]
        near(f(x), value, 1e-14)
        const columns = units.map((u) => slope(plain, x, u))
        const gradient = columns.map((c) => c.reduce((a, b) => a + b, 0))
        const u = [0.5, -1, 2]
        const along = slope(plain, x, u)

        near(grad(total)(x), gradient)
        const [y, g] = valueAndGrad(total)(x)
        near(y, [value.reduce((a, b) => a + b, 0)], 1e-14)
        near(g, gradient)
        const [v, pullback] = vjp(f, x)
        near(v, value, 1e-14)
        near(
          pullback(f64([1, 2, 3]))[0],
          columns.map((c) => c.reduce((a, b, i) => a + b * (i + 1), 0)),
        )
        const [w, tangent] = jvp(f, [x], [f64(u)])
        near(w, value, 1e-14)
        near(tangent, along)
        const rows = [0, 1, 2].flatMap((i) => columns.map((c) => c[i] as number))
        for (const mode of ['forward', 'reverse', 'auto'] as const) near(jacobian(f, { mode })(x), rows)

        // Second order: differences of the first.
        const first = (t: Tensor) => grad((s: Tensor) => make((q) => q)(s).sum())(t)
        const second = units.map((e) => slope(first, x, e))
        const product = slope(first, x, u)
        near(hessian(total)(x), second.flat(), 1e-7)
        near(hvp(total, x, f64(u)), product, 1e-7)
        near(grad((t: Tensor) => grad(total)(t).mul(f64(u)).sum())(x), product, 1e-7)
        near(grad((t: Tensor) => jvp(f, [t], [f64(u)])[1].sum())(x), product, 1e-7)
        near(
          jvp((t: Tensor) => jvp(total, [t], [f64(u)])[1], [x], [f64(u)])[1],
          [product.reduce((a, b, i) => a + b * (u[i] as number), 0)],
          1e-7,
        )
      })
    })
  })

  test.each(Object.entries(wraps))('a compiled module, first layer or not: %s', (_, wrap) => {
    using(engine, () => {
      class Layer extends nn.Module {
        weight = new nn.Parameter(f64([0.4, -0.3, 0.2]))
        scale = new nn.Parameter(f64(0.7))
        override forward(x: Tensor): Tensor {
          const s = this.scale.exp()
          return wrap((t) => t.mul(this.weight).add(s).tanh())(x)
        }
      }
      const make = () => new nn.Sequential(new Layer(), new Layer())
      const x = f64([
        [0.5, -1, 2],
        [1, 0.2, -0.4],
      ])
      const y = f64([
        [0, 0.1, 0.2],
        [0.3, 0.4, 0.5],
      ])
      const cost = (model: nn.Module) => model.forward(x).sub(y).square().sum().div(2).item()
      const model = make()
      const before = model.stateDict()
      const expected = Object.entries(before).map(([name, values]) =>
        Array.from(values.data, (_v, i) => {
          const [up, down] = [h, -h].map((d) => {
            const data = Float64Array.from(values.data)
            data[i] = (data[i] as number) + d
            model.loadStateDict({ ...before, [name]: tensor(data, { shape: values.shape }) })
            return cost(model)
          }) as [number, number]
          return (up - down) / (2 * h)
        }),
      )
      model.loadStateDict(before)
      near(model.predict(x).reshape([6]), [...(model.forward(x).data as Float64Array)], 1e-14)
      const [value, gradients] = valueAndGrad(model, () => model.forward(x).sub(y).square().sum().div(2))()
      near(value, [cost(model)], 1e-14)
      Object.keys(before).forEach((name, i) => {
        near(gradients[name] as Tensor, expected[i] as number[])
      })
      const trainer = new FBGD(model, { loss: (p, t) => p.sub(t).square().sum(1).div(2).mul(2), learningRate: 1 })
      trainer.step(x, y)
      Object.entries(model.stateDict()).forEach(([name, after], i) => {
        near(after.sub(before[name] as Tensor).neg(), expected[i] as number[])
      })
    })
  })

  test('the rule of customGradient is for its arguments, the ordinary one for what it closes over', () => {
    using(engine, () => {
      const f = (x: Tensor, w: Tensor) => customGradient((t: Tensor) => [t.mul(w), (g) => g.mul(100)])(x)
      const [dx, dw] = grad(f, { argnums: [0, 1] })(3, 5)
      expect([dx.item(), dw.item()]).toEqual([100, 3])
      expect(jvp(f, [3, 5], [1, 10])[1].item()).toBe(100 + 30)
      expect(grad((x: Tensor) => checkpoint((t: Tensor) => t.mul(x))(x.mul(2)))(tensor(3)).item()).toBe(12)
      // A straight-through rule: its value is a constant, and it reads values.
      const rounded = customGradient((x: Tensor) => [tensor(Array.from(x.data, (v) => Math.round(v as number))), (g) => g])
      expect(grad((x: Tensor) => rounded(x.mul(2)).sum())(tensor([1.4, 2])).toArray()).toEqual([2, 2])
      // A pullback that reads values, and closes over a tensor that its value does not depend on.
      const odd = (x: Tensor) => customGradient((t: Tensor) => [t.square(), (g) => (g.data[0] === 1 ? g.mul(x).mul(t) : g.mul(-1))])(x)
      expect(grad(odd)(tensor(3)).item()).toBe(9)
    })
  })
})

describe.each(present)('checkpoint of trees on %s', (engine) => {
  interface State {
    h: Tensor
    c: Tensor
  }
  const w = f64([0.5, -1.2, 0.8])
  /** Two results, of which some uses read one alone; an argument that is a number, and a part that is no tensor. */
  const cell = ({ h, c }: State, x: Tensor, k: Tensor | number) => {
    const next = c.mul(x.sigmoid()).add(h.mul(w).tanh().mul(k))
    return [
      { h: next.tanh().mul(x), c: next },
      { y: next.exp(), name: 'cell' },
    ] as const
  }
  const again = checkpoint(cell)
  const uses: Record<string, (f: typeof cell) => Unary> = {
    'all results': (f) => (t) => {
      const [{ h, c }, { y }] = f({ h: t, c: t.mul(2) }, t.square(), 3)
      return h.add(c.mul(y)).sum()
    },
    'one of them': (f) => (t) => f({ h: t, c: t.mul(2) }, t.square(), 3)[0].c.sum(),
    'the body of a loop': (f) => (t) =>
      scan((state: State, x: Tensor) => f(state, x, 0.7), { h: t, c: t.mul(2) }, at.expandDims(0).mul(t.expandDims(1)))[1].y.sum(),
    'all of a body': (f) => (t) => {
      const body = (state: State, x: Tensor) => f(state, x, 0.7)
      const wrapped = f === again ? checkpoint(body) : body
      return scan(wrapped, { h: t, c: t.mul(2) }, at.expandDims(0).mul(t.expandDims(1)))[0].h.sum()
    },
  }
  test.each(Object.entries(uses))('%s', (_, use) => {
    using(engine, () => {
      const [plain, twice] = [use(cell), use(again)]
      const close = (a: Tensor, b: Tensor) => {
        expect(a.shape).toEqual(b.shape)
        for (const [i, v] of [...a.data].entries()) expect(Math.abs((v as number) - (b.data[i] as number))).toBeLessThan(1e-10)
      }
      close(twice(at), plain(at))
      close(grad(twice)(at), grad(plain)(at))
      close(compile(grad(twice))(at), grad(plain)(at))
      close(compile(twice)(at), plain(at))
      close(jvp(twice, [at], [f64([1, 2, 3])])[1], jvp(plain, [at], [f64([1, 2, 3])])[1])
      close(hessian(twice)(at), hessian(plain)(at))
      close(compile(hessian(twice))(at), hessian(plain)(at))
      const rows = tensor([...at.data, 0.2, 0.4, -0.9] as number[], { shape: [2, 3], dtype: 'float64' })
      close(vmap(grad(twice))(rows), vmap(grad(plain))(rows))
      close(grad((r: Tensor) => vmap(twice)(r).sum())(rows), grad((r: Tensor) => vmap(plain)(r).sum())(rows))
    })
  })

  test('what is no tensor comes back as it is; a function that gives none is refused', () => {
    using(engine, () => {
      expect(again({ h: at, c: at }, at, 1)[1].name).toBe('cell')
      expect(grad((t: Tensor) => (again({ h: t, c: t }, t, 1)[1].name === 'cell' ? t.sum() : t.mul(2).sum()))(at).toArray()).toEqual([
        1, 1, 1,
      ])
      for (const f of [() => ({}), () => undefined, () => 'text'])
        expect(codeOf(() => grad((t: Tensor) => (checkpoint(f as never)() as unknown as Tensor).add(t).sum())(at))).toBe('ERR_VALUE')
    })
  })
})

describe('checkpoint in programs', () => {
  const sines = (f: Unary) => {
    const specs = [
      { name: 'x', shape: [3], dtype: 'float64' as const },
      { name: 'y', shape: [3], dtype: 'float64' as const, writable: true },
    ]
    const graph = record(specs, new StateLayout(), (r) => {
      const [value, gradient] = valueAndGrad((t: Tensor) => f(t).sum())(r.input(0))
      r.output(1, gradient.mul(value))
    })
    simplify(graph)
    return graph.nodes.filter((node) => isOp(node) && node.origin.primitive.name === 'sin').length
  }
  test('the recomputation is not shared with the first evaluation', () => {
    const f = (t: Tensor) => t.mul(2).sin().mul(t).exp()
    expect([sines(f), sines(checkpoint(f))]).toEqual([1, 2])
  })

  test.each(present)('masks, running statistics and steps are those of the plain model, compiled on %s', (engine) => {
    using(engine, () => {
      class Block extends nn.Module {
        inner = new nn.Sequential(
          new nn.Linear(3, 8, { rng: new Random(1) }),
          new nn.BatchNorm1d(8),
          new nn.Tanh(),
          new nn.Dropout(0.5),
          new nn.Linear(8, 3, { rng: new Random(2) }),
          new nn.Dropout(0.3),
        )
        constructor(readonly wrap: (f: Unary) => Unary) {
          super()
        }
        override forward(x: Tensor): Tensor {
          return this.wrap((t) => this.inner.forward(t))(x)
        }
      }
      const rng = new Random(4)
      const [x, y] = [rng.normal([16, 3]), rng.normal([16, 2])]
      const states = [wraps.plain, wraps.checkpoint].map((wrap) => {
        seed(3)
        const block = (wrap as (f: Unary) => Unary) ?? ((f: Unary) => f)
        const model = new nn.Sequential(new Block(block), new nn.Linear(3, 2, { rng: new Random(3) }))
        const trainer = new FBGD(model, { loss: loss.mse, learningRate: 0.1 })
        const costs = Array.from({ length: 5 }, () => trainer.step(x, y))
        return [costs, ...Object.values(model.stateDict()).map((t) => [...t.data] as number[])]
      }) as [number[][], number[][]]
      states[0].forEach((values, i) => {
        values.forEach((v, k) => {
          expect(Math.abs((states[1][i]?.[k] as number) - v)).toBeLessThan(1e-5 * Math.max(1, Math.abs(v)))
        })
      })
      expect(new Set(states[0][0]).size).toBe(5)
    })
  })
})

describe('tensors of functions that have returned', () => {
  test('are refused with the name of what made them, by every interpreter', () => {
    let kept: Tensor | undefined
    const leak = (x: Tensor) => {
      kept = x.mul(2)
      return kept.sum()
    }
    const sources = {
      grad: () => grad(leak)(at),
      vjp: () => vjp(leak, at),
      jvp: () => jvp(leak, [at], [at]),
      checkpoint: () => grad((x: Tensor) => checkpoint(leak)(x))(at),
      'a recording': () => {
        class Keeping extends nn.Module {
          override forward(x: Tensor): Tensor {
            kept = x.mul(2)
            return kept
          }
        }
        return new Keeping().predict(at)
      },
    }
    for (const [name, make] of Object.entries(sources)) {
      make()
      const x = kept as Tensor
      const uses: (() => unknown)[] = [
        () => x.add(1),
        () => grad((t: Tensor) => t.mul(x).sum())(at),
        () => jvp((t: Tensor) => t.mul(x), [at], [at]),
        () => grad((t: Tensor) => checkpoint((s: Tensor) => s.mul(x).sum())(t))(at),
      ]
      for (const use of uses) {
        expect([name, codeOf(use)]).toEqual([name, 'ERR_LEAKED'])
        expect(() => use()).toThrow(new RegExp(`made by mul inside ${name} is used after ${name} has returned`))
      }
    }
    // Reading is fine: the values are right.
    grad(leak)(at)
    expect([...((kept as Tensor).data as Float64Array)]).toEqual([0.6, -1.4, 2.2])
  })
})
