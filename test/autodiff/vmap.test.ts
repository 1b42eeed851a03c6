/** `vmap` with everything it meets: the other transforms in both orders, itself, own rules, models, draws; and its refusals. */

import { describe, expect, test } from 'vitest'
import {
  checkpoint,
  compile,
  customGradient,
  functionalCall,
  grad,
  hessian,
  hvp,
  jacobian,
  jvp,
  loss,
  nn,
  Random,
  seed,
  stack,
  type Tensor,
  tensor,
  valueAndGrad,
  vjp,
  vmap,
  type WengertError,
} from '../../lib/index.js'
import { present, using } from '../support/engines.js'

const f64 = (values: unknown) => tensor(values as number[], { dtype: 'float64' })
const normal = (n: number, shape: number[]) => new Random(n).normal(shape, { dtype: 'float64' })
const rows = (x: Tensor) => Array.from({ length: x.shape[0] as number }, (_, i) => x.slice(i))

function close(actual: Tensor, expected: Tensor, digits = 12): void {
  expect(actual.shape).toEqual(expected.shape)
  for (let i = 0; i < actual.size; i++) expect(actual.data[i]).toBeCloseTo(expected.data[i] as number, digits)
}

const refusal = (body: () => unknown): { code: string; message: string } => {
  try {
    body()
  } catch (error) {
    return { code: (error as WengertError).code, message: (error as Error).message }
  }
  throw new Error('nothing was refused')
}

const f = (x: Tensor): Tensor => x.sin().mul(x.slice(0)).sum().add(x.prod())

describe('axes', () => {
  const x = normal(1, [3, 4, 5])
  test('in and out, from the front and from the end', () => {
    for (const [inAxis, outAxis] of [
      [0, 0],
      [1, 1],
      [2, 0],
      [-1, -1],
      [-3, 1],
      [1, -2],
    ] as const) {
      const at = (inAxis + 3) % 3
      const slices = Array.from({ length: x.shape[at] as number }, (_, i) => x.slice(...x.shape.map((_, k) => (k === at ? i : null))))
      const expected = slices.map((s) => s.sum(0).exp())
      const place = outAxis < 0 ? outAxis + 2 : outAxis
      close(vmap((s: Tensor) => s.sum(0).exp(), { inAxes: inAxis, outAxes: outAxis })(x), stack(expected, place))
    }
  })

  test('trees in and out, axes as a prefix of the tree', () => {
    const y = vmap(
      ({ w, b }: { w: Tensor[]; b: Tensor }, s: Tensor) => ({ a: (w[0] as Tensor).mul(s), list: [b, (w[1] as Tensor).add(b)] }),
      {
        inAxes: [{ w: [0, null], b: 1 }, null],
        outAxes: { a: 0, list: [1, -1] },
      },
    )(
      {
        w: [f64([1, 2, 3]), f64([10, 20])],
        b: f64([
          [1, 2, 3],
          [4, 5, 6],
        ]),
      },
      f64(2),
    )
    expect(y.a.toArray()).toEqual([2, 4, 6])
    expect((y.list[0] as Tensor).toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect((y.list[1] as Tensor).toArray()).toEqual([
      [11, 12, 13],
      [24, 25, 26],
    ])
  })

  test('a result that no sample changes is repeated, or handed over once', () => {
    const g = (a: Tensor, b: Tensor) => [a.add(b), b.mul(2)] as const
    const [, repeated] = vmap(g, { inAxes: [0, null] })(f64([1, 2, 3]), f64([4, 5]))
    expect(repeated.toArray()).toEqual([
      [8, 10],
      [8, 10],
      [8, 10],
    ])
    const [, once] = vmap(g, { inAxes: [0, null], outAxes: [0, null] })(f64([1, 2, 3]), f64([4, 5]))
    expect(once.toArray()).toEqual([8, 10])
  })

  test('no samples at all', () => {
    expect(vmap((s: Tensor) => s.matmul(normal(2, [4, 2])))(f64([]).reshape([0, 4])).shape).toEqual([0, 2])
    const w = normal(2, [4])
    expect(grad((v: Tensor) => vmap((s: Tensor) => s.dot(v))(f64([]).reshape([0, 4])).sum())(w).toArray()).toEqual([0, 0, 0, 0])
  })
})

describe('with the other transforms', () => {
  const x = normal(3, [5, 3])
  const t = normal(4, [5, 3])
  const each = (g: (s: Tensor, i: number) => Tensor) => stack(rows(x).map(g))

  for (const engine of present)
    test(`in both orders, on ${engine}`, () =>
      using(engine, () => {
        close(
          vmap(grad(f))(x),
          each((s) => grad(f)(s)),
        )
        close(
          grad((s: Tensor) => vmap(f)(s).sum())(x),
          each((s) => grad(f)(s)),
        )
        close(
          vmap((s: Tensor, d: Tensor) => jvp(f, [s], [d])[1] as Tensor)(x, t),
          each((s, i) => jvp(f, [s], [t.slice(i)])[1] as Tensor),
        )
        close(
          jvp(vmap(f), [x], [t])[1] as Tensor,
          each((s, i) => jvp(f, [s], [t.slice(i)])[1] as Tensor),
        )
        close(
          vmap((s: Tensor) => vjp(f, s)[1](f64(2))[0])(x),
          each((s) => vjp(f, s)[1](f64(2))[0]),
        )
        close(
          vjp(vmap(f), x)[1](normal(9, [5]))[0],
          each((s, i) => grad(f)(s).mul(normal(9, [5]).slice(i))),
        )
        close(
          vmap(hessian(f))(x),
          each((s) => hessian(f)(s)),
        )
        close(
          vmap(jacobian((s: Tensor) => s.exp().cumsum(0)))(x),
          each((s) => jacobian((v: Tensor) => v.exp().cumsum(0))(s)),
        )
        close(
          vmap((s: Tensor, d: Tensor) => hvp(f, s, d))(x, t),
          each((s, i) => hvp(f, s, t.slice(i))),
        )
        // The Jacobian of all samples is that of each on the diagonal.
        const whole = jacobian(vmap(grad(f)))(x)
        for (let i = 0; i < 5; i++)
          for (let j = 0; j < 5; j++) {
            const block = whole.slice(i, null, j, null)
            close(block, i === j ? hessian(f)(x.slice(i)) : block.mul(0))
          }
        close(
          grad((s: Tensor) => vmap(grad(f))(s).square().sum())(x),
          each((s) => grad((v: Tensor) => grad(f)(v).square().sum())(s)),
          10,
        )
      }))

  test('nested, by one argument each', () => {
    const a = normal(5, [4, 3])
    const b = normal(6, [6, 3])
    const kernel = (p: Tensor, q: Tensor) => p.sub(q).square().sum().neg().exp()
    const gram = vmap(vmap(kernel, { inAxes: [null, 0] }), { inAxes: [0, null] })
    close(gram(a, b), stack(rows(a).map((p) => stack(rows(b).map((q) => kernel(p, q))))))
    const mixed = vmap(vmap(grad(kernel), { inAxes: [null, 0] }), { inAxes: [0, null], outAxes: 1 })(a, b)
    close(mixed, stack(rows(b).map((q) => stack(rows(a).map((p) => grad(kernel)(p, q))))))
    close(
      grad((p: Tensor) => gram(p, b).square().sum())(a),
      grad((p: Tensor) =>
        stack(rows(p).map((r) => stack(rows(b).map((q) => kernel(r, q)))))
          .square()
          .sum(),
      )(a),
    )
  })

  test('what an outer function watches reaches every sample, and its gradient comes back from all', () => {
    const w = f64([0.3, -0.2, 0.5])
    const whole = grad((v: Tensor) => vmap((s: Tensor) => s.mul(v).sin().sum())(x).sum())(w)
    close(whole, each((s) => grad((v: Tensor) => s.mul(v).sin().sum())(w)).sum(0))
  })

  test('where equals share an extreme, as one sample alone does', () => {
    const ties = f64([
      [1, 1, 0],
      [2, 0, 2],
    ])
    const expected = f64([
      [0.5, 0.5, 0],
      [0.5, 0, 0.5],
    ])
    close(vmap(grad((s: Tensor) => s.max()))(ties), expected)
    close(grad((s: Tensor) => vmap((r: Tensor) => r.max())(s).sum())(ties), expected)
    close(grad((s: Tensor) => vmap(vmap((r: Tensor) => r.max()))(s.reshape([1, 2, 3])).sum())(ties), expected)
  })
})

describe("with rules of functions' own", () => {
  const x = normal(7, [4, 3])
  const w = f64([1, -2, 3])
  // A rule that no differentiation would find: it shows whether it was asked.
  const odd = customGradient((a: Tensor, b: Tensor) => [a.mul(b), (g: Tensor) => [g.mul(b).mul(10), g.mul(a).mul(100)]])
  const plain = (s: Tensor, v: Tensor) => odd(s, v).sin().sum()

  test('customGradient in both orders, by mapped and common arguments', () => {
    const expected = stack(rows(x).map((s) => grad(plain)(s, w)))
    close(vmap(grad(plain), { inAxes: [0, null] })(x, w), expected)
    close(grad((s: Tensor) => vmap(plain, { inAxes: [0, null] })(s, w).sum())(x), expected)
    const common = stack(rows(x).map((s) => grad(plain, { argnums: 1 })(s, w)))
    close(vmap(grad(plain, { argnums: 1 }), { inAxes: [0, null] })(x, w), common)
    close(grad((v: Tensor) => vmap(plain, { inAxes: [0, null] })(x, v).sum())(w), common.sum(0))
    const t = normal(8, [4, 3])
    close(jvp((s: Tensor) => vmap(plain, { inAxes: [0, null] })(s, w), [x], [t])[1] as Tensor, expected.mul(t).sum(1))
    close(vmap((s: Tensor, d: Tensor) => jvp((r: Tensor) => plain(r, w), [s], [d])[1] as Tensor)(x, t), expected.mul(t).sum(1))
  })

  test('customGradient: second order, and nested maps', () => {
    const expected = stack(rows(x).map((s) => hessian((r: Tensor) => plain(r, w))(s)))
    close(vmap(hessian((s: Tensor) => plain(s, w)))(x), expected, 10)
    const twice = grad((s: Tensor) => grad((r: Tensor) => vmap(plain, { inAxes: [0, null] })(r, w).sum())(s).sum())(x)
    close(twice, expected.sum(2), 10)
    const y = normal(2, [2, 4, 3])
    const inner = vmap(vmap(plain, { inAxes: [0, null] }), { inAxes: [0, null] })
    close(grad((s: Tensor) => inner(s, w).sum())(y), stack(rows(y).map((s) => stack(rows(s).map((r) => grad(plain)(r, w))))))
  })

  test('customGradient: a pullback that ignores its cotangent, or closes over what is mapped outside', () => {
    const constant = customGradient((a: Tensor) => [a.mul(2), () => f64(7)])
    expect(grad((a: Tensor) => vmap((s: Tensor) => constant(a).add(s))(f64([1, 2, 3])).sum())(f64(1)).item()).toBe(7)
    const each = customGradient((a: Tensor, _s: Tensor) => [a.mul(2), () => [f64(7), undefined]])
    expect(grad((a: Tensor) => vmap((s: Tensor) => each(a, s).add(s))(f64([1, 2, 3])).sum())(f64(1)).item()).toBe(21)
    const over = (s: Tensor, k: Tensor) => customGradient((a: Tensor) => [a.mul(3), (g: Tensor) => g.mul(k)])(s).mul(s)
    const k = f64([10, 20, 30])
    const s = f64([1, 2, 3])
    const expected = stack([0, 1, 2].map((i) => grad(over)(s.slice(i), k.slice(i))))
    close(grad((a: Tensor) => vmap(over)(a, k).sum())(s), expected)
    close(vmap(grad(over))(s, k), expected)
    close(
      grad((b: Tensor) => grad((a: Tensor) => vmap(over)(a, b).sum())(s).sum())(k),
      stack([0, 1, 2].map((i) => grad((b: Tensor) => grad(over)(s.slice(i), b))(k.slice(i)))),
    )
  })

  test('checkpoint in both orders, with what it closes over', () => {
    const body = (s: Tensor): Tensor => checkpoint((r: Tensor) => r.mul(w).sin().exp())(s).sum()
    const expected = stack(rows(x).map((s) => grad(body)(s)))
    close(vmap(grad(body))(x), expected)
    close(grad((s: Tensor) => vmap(body)(s).sum())(x), expected)
    close(checkpoint((s: Tensor) => vmap((r: Tensor) => r.mul(w).sin().exp())(s))(x), vmap((r: Tensor) => r.mul(w).sin().exp())(x))
    close(grad((s: Tensor) => checkpoint((q: Tensor) => vmap((r: Tensor) => r.mul(w).sin().exp().sum())(q))(s).sum())(x), expected)
    close(
      grad((v: Tensor) => vmap((s: Tensor) => checkpoint((r: Tensor) => r.mul(v).sin())(s).sum())(x).sum())(w),
      x.mul(x.mul(w).cos()).sum(0),
    )
    close(vmap(hessian(body))(x), stack(rows(x).map((s) => hessian(body)(s))), 10)
  })
})

describe('with models', () => {
  const x = normal(11, [6, 4])
  const y = tensor([0, 1, 2, 0, 1, 2], { dtype: 'int32' })
  const make = (n: number) => {
    const rng = new Random(n)
    return new nn.Sequential(new nn.Linear(4, 5, { rng, dtype: 'float64' }), new nn.Tanh(), new nn.Linear(5, 3, { rng, dtype: 'float64' }))
  }

  test('gradients of each sample, by a model and by parameters handed in', () => {
    const model = make(1)
    const cost = (s: Tensor, label: Tensor) => loss.crossEntropy(model.forward(s.expandDims(0)), label.expandDims(0))
    const each = vmap(grad(model, cost))(x, y)
    const lossOf = (p: Record<string, Tensor>, s: Tensor, label: Tensor) =>
      loss.crossEntropy(functionalCall(model, p, s.expandDims(0)), label.expandDims(0))
    const handed = vmap(grad(lossOf), { inAxes: [null, 0, 0] })(model.stateDict(), x, y) as Record<string, Tensor>
    for (const [name, g] of Object.entries(each)) {
      const expected = stack(rows(x).map((s, i) => grad(model, cost)(s, y.slice(i))[name] as Tensor))
      close(g, expected)
      close(handed[name] as Tensor, expected)
    }
    const [costs] = vmap(valueAndGrad(model, cost))(x, y)
    close(costs as Tensor, stack(rows(x).map((s, i) => cost(s, y.slice(i)))))
  })

  test('an ensemble: models side by side', () => {
    const models = [make(1), make(2), make(3)]
    const [first] = models as [nn.Sequential]
    const names = Object.keys(first.stateDict())
    const stacked = Object.fromEntries(names.map((name) => [name, stack(models.map((m) => m.stateDict()[name] as Tensor))]))
    const out = vmap((p: Record<string, Tensor>, s: Tensor) => functionalCall(first, p, s) as Tensor, { inAxes: [0, null] })(stacked, x)
    close(out, stack(models.map((m) => m.forward(x) as Tensor)))
    const cost = (p: Record<string, Tensor>, s: Tensor) => loss.crossEntropy(functionalCall(first, p, s), y)
    const together = vmap(grad(cost), { inAxes: [0, null] })(stacked, x) as Record<string, Tensor>
    for (const name of names) close(together[name] as Tensor, stack(models.map((m) => grad(cost)(m.stateDict(), x)[name] as Tensor)))
  })

  test('in a forward that a trainer compiles, and that predict replays', async () => {
    class Each extends nn.Module {
      inner = make(4)
      override forward(s: Tensor): Tensor {
        return vmap((row: Tensor) => this.inner.forward(row) as Tensor)(s)
      }
    }
    const { MBSGD } = await import('../../lib/index.js')
    const [model, same] = [new Each(), make(4)]
    const options = { loss: loss.crossEntropy, batchSize: 4, learningRate: 0.1, dtype: 'float64' }
    const train = async (m: nn.Module) => {
      const { dtype: _, ...rest } = options
      return (await new MBSGD(m, rest).fit({ x, y }, { epochs: 3, seed: 2 })).last?.cost
    }
    expect(await train(model)).toBeCloseTo((await train(same)) as number, 10)
    close(model.predict(x) as Tensor, same.forward(x) as Tensor)
  })

  test('compiled: inside and outside, with draws anew at each call', () => {
    const model = make(6)
    const cost = (s: Tensor, label: Tensor) => loss.crossEntropy(model.forward(s.expandDims(0)), label.expandDims(0))
    const each = vmap(grad(model, cost))
    const step = compile((s: Tensor, labels: Tensor) => each(s, labels))
    const expected = each(x, y)
    for (let call = 0; call < 2; call++) {
      const found = step(x, y)
      for (const [name, g] of Object.entries(expected)) close(found[name] as Tensor, g)
    }
    const inner = compile((s: Tensor) => s.sin().mul(s).sum())
    close(vmap(inner)(x), x.sin().mul(x).sum(1))
    close(grad((s: Tensor) => vmap(inner)(s).sum())(x), x.sin().add(x.mul(x.cos())))
    const rng = new Random(3)
    const noisy = compile((s: Tensor) => vmap((r: Tensor) => r.mul(0).add(rng.normal([4], { dtype: 'float64' })))(s))
    const first = noisy(x)
    expect(new Set([...first.data, ...noisy(x).data]).size).toBe(48)
    close(first, new Random(3).normal([6, 4], { dtype: 'float64' }))
    const drop = new nn.Dropout(0.5)
    const masks = compile((s: Tensor) => vmap((r: Tensor) => drop.forward(r.mul(0).add(1)))(s))
    const wide = normal(1, [8, 16])
    const [one, two] = [masks(wide), masks(wide)]
    expect(new Set([...rows(one), ...rows(two)].map(String)).size).toBe(16)
    const norm = new nn.BatchNorm1d(4)
    const stacks = new Random(1).normal([3, 5, 4])
    expect(refusal(() => compile((s: Tensor) => vmap((r: Tensor) => norm.forward(r))(s))(stacks)).message).toMatch(/running statistics/)
  })

  test('a layer that keeps statistics is refused', () => {
    const model = new nn.Sequential(new nn.BatchNorm1d(4))
    expect(refusal(() => vmap((s: Tensor) => model.forward(s) as Tensor)(new Random(1).normal([3, 5, 4]))).message).toMatch(/vmap/)
  })
})

describe('draws', () => {
  test('each sample has its own, the same at each run', () => {
    const noisy = (s: Tensor) => s.add(new Random(5).normal([2], { dtype: 'float64' }))
    const y = vmap(noisy)(
      f64([
        [0, 0],
        [0, 0],
        [0, 0],
      ]),
    )
    expect(new Set(y.data).size).toBe(6)
    expect(
      vmap(noisy)(
        f64([
          [0, 0],
          [0, 0],
          [0, 0],
        ]),
      ).toArray(),
    ).toEqual(y.toArray())
    // A draw of all samples is one draw of the generator.
    expect(y.toArray()).toEqual(new Random(5).normal([3, 2], { dtype: 'float64' }).toArray())
    const rng = new Random(5)
    vmap((s: Tensor) => s.add(rng.uniform([])))(f64([0, 0]))
    const again = new Random(5)
    again.uniform([2])
    expect(rng.normal([3]).toArray()).toEqual(again.normal([3]).toArray())
  })

  test('in nested maps, for what is common, and for permutations', () => {
    const y = vmap((s: Tensor) => vmap((r: Tensor) => r.add(new Random(1).uniform([])))(s))(
      f64([
        [0, 0, 0],
        [0, 0, 0],
      ]),
    )
    expect(new Set(y.data).size).toBe(6)
    const orders = vmap((_: Tensor) => new Random(3).permutation(20))(f64([0, 0, 0]))
    const lists = rows(orders).map((o) => [...o.data])
    for (const list of lists) expect([...list].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i))
    expect(new Set(lists.map(String)).size).toBe(3)
  })

  test('dropout masks differ from sample to sample, also of what is common, and the gradient has the mask of the value', () => {
    const drop = new nn.Dropout(0.5)
    const masks = (body: (s: Tensor) => Tensor) => {
      seed(7)
      return vmap(body)(f64(new Array(8).fill(0)))
    }
    const ones = f64(new Array(16).fill(1))
    const y = masks((s) => drop.forward(ones).add(s))
    expect(new Set(rows(y).map(String)).size).toBe(8)
    expect(masks((s) => drop.forward(ones).add(s)).toArray()).toEqual(y.toArray())
    const g = masks((s) => grad((v: Tensor) => drop.forward(v).sum())(ones).add(s))
    expect(g.toArray()).toEqual(y.toArray())
  })
})

describe('refusals', () => {
  const x = f64([
    [1, 2],
    [3, 4],
    [5, 6],
  ])
  test.each<[string, () => unknown, string, RegExp]>([
    [
      'sizes that differ',
      () => vmap((a: Tensor, b: Tensor) => a.add(b), { inAxes: [0, 1] })(x, x),
      'ERR_SHAPE',
      /3 for axis 0 of argument 0, 2 for axis 1 of argument 1/,
    ],
    [
      'sizes that differ in a tree',
      () => vmap((a: { p: Tensor; q: Tensor[] }) => a.p)({ p: x, q: [f64([1, 2])] }),
      'ERR_SHAPE',
      /argument 0\.p, 2 for axis 0 of argument 0\.q\[0\]/,
    ],
    ['nothing mapped', () => vmap((a: Tensor) => a, { inAxes: [null] })(x), 'ERR_OPTION', /no argument is mapped/],
    ['nothing to map', () => vmap((..._: Tensor[]) => x)(), 'ERR_OPTION', /no argument is mapped/],
    ['a scalar', () => vmap((a: Tensor) => a)(f64(1)), 'ERR_AXIS', /argument 0 of shape \[\] has no axis 0/],
    ['an axis too many', () => vmap((a: Tensor) => a, { inAxes: 2 })(x), 'ERR_AXIS', /\[3, 2\] has no axis 2/],
    ['a fraction', () => vmap((a: Tensor) => a, { inAxes: 0.5 })(x), 'ERR_AXIS', /no axis 0.5/],
    ['a number as a mapped argument', () => vmap((a: Tensor, b: number) => a.mul(b))(x, 2), 'ERR_AXIS', /argument 1 is a number/],
    ['too few axes', () => vmap((a: Tensor, b: Tensor) => a.add(b), { inAxes: [0] })(x, x), 'ERR_OPTION', /1 entries.*2 arguments/],
    ['another tree', () => vmap((a: { p: Tensor }) => a.p, { inAxes: [{ q: 0 }] })({ p: x }), 'ERR_OPTION', /same names.*q/],
    ['axes that are none', () => vmap((a: Tensor) => a, { inAxes: ['0' as never] })(x), 'ERR_OPTION', /an axis, null, or a tree/],
    ['an unknown option', () => vmap((a: Tensor) => a, { inAxis: 0 } as object)(x), 'ERR_OPTION', /inAxes/],
    ['no function', () => vmap(3 as never), 'ERR_VALUE', /expected a function/],
    ['no tensor in the result', () => vmap((_: Tensor) => 3)(x), 'ERR_VALUE', /must return a tensor/],
    ['a mapped result with outAxes null', () => vmap((a: Tensor) => a, { outAxes: null })(x), 'ERR_OPTION', /value of its own/],
    ['an out axis too many', () => vmap((a: Tensor) => a, { outAxes: 2 })(x), 'ERR_AXIS', /no axis 2/],
    ['a value read', () => vmap((a: Tensor) => (a.sum().item() > 3 ? a : a.neg()))(x), 'ERR_VALUE_NEEDED', /3 samples.*where/],
    ['shapes of one sample that do not fit', () => vmap((a: Tensor) => a.add(f64([1, 2, 3])))(x), 'ERR_SHAPE', /\[2\] and \[3\]/],
  ])('%s', (_, body, code, message) => {
    const refused = refusal(body)
    expect(refused.code).toBe(code)
    expect(refused.message).toMatch(message)
  })

  test('values that a loss or a layer refuses, in whichever sample they are', () => {
    const z = normal(3, [3, 4])
    const cost = (s: Tensor, label: Tensor) => loss.crossEntropy(s.expandDims(0), label.expandDims(0))
    expect(refusal(() => vmap(grad(cost))(z, f64([0, 1.5, 2])))).toMatchObject({
      code: 'ERR_LABEL',
      message: expect.stringContaining('1.5'),
    })
    expect(
      refusal(() =>
        vmap((p: Tensor, q: Tensor) => loss.hinge(p, q))(
          x,
          f64([
            [1, -1],
            [1, 0.4],
            [1, 1],
          ]),
        ),
      ),
    ).toMatchObject({ code: 'ERR_RANGE' })
    const table = new nn.Embedding(4, 2)
    expect(
      refusal(() =>
        vmap((i: Tensor) => table.forward(i))(
          f64([
            [0, 1],
            [2, 2.5],
          ]),
        ),
      ),
    ).toMatchObject({ code: 'ERR_RANGE' })
  })

  test('a tensor that leaks', () => {
    let kept: Tensor | undefined
    vmap((a: Tensor) => {
      kept = a.exp()
      return a
    })(x)
    expect(refusal(() => (kept as Tensor).add(1)).message).toMatch(/exp inside vmap/)
  })

  test('an index outside of its sample does not read the next', () => {
    const index = tensor([[0], [2]], { dtype: 'int32' })
    const values = f64([
      [1, 2],
      [3, 4],
    ])
    expect(refusal(() => vmap((v: Tensor, i: Tensor) => v.gather(i))(values, index)).code).toBe('ERR_INDEX')
    expect(refusal(() => vmap((v: Tensor, i: Tensor) => v.gather(i), { inAxes: [null, 0] })(f64([1, 2]), index)).code).toBe('ERR_INDEX')
  })
})
