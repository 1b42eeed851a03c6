/** `compile`: same values as the plain function, in every order with the transforms; what is read at each call and what is constant. */

import { afterAll, describe, expect, test, vi } from 'vitest'
import { engine } from '../../lib/backend/select.js'
import {
  type CompileOptions,
  checkpoint,
  compile,
  customGradient,
  detectAnomaly,
  functionalCall,
  grad,
  hessian,
  hvp,
  jacobian,
  jvp,
  loss,
  MBSGD,
  nn,
  Random,
  setBackend,
  type Tensor,
  tensor,
  valueAndGrad,
  vjp,
  vmap,
  zeros,
} from '../../lib/index.js'
import { announce, during, present, using } from '../support/engines.js'

announce('compile')
afterAll(() => setBackend(present.includes('native') ? 'native' : 'js'))

const types = ['float32', 'float64'] as const
/** Everything of a tree as plain values, with types and shapes. */
const plain = (tree: unknown): unknown =>
  JSON.parse(
    JSON.stringify(tree, (_, x) =>
      x?.dtype
        ? { dtype: x.dtype, shape: x.shape, values: Array.from(x.data as number[], (v) => Number((v as number).toPrecision(5))) }
        : x,
    ),
  )
// biome-ignore lint/suspicious/noExplicitAny: functions of any trees
const agree = (f: (...args: any[]) => unknown, args: unknown[], options?: CompileOptions) => {
  const compiled = compile(f, options)
  for (let i = 0; i < 2; i++) expect(plain(compiled(...args))).toEqual(plain(f(...args)))
  return compiled
}
const code = (f: () => unknown): string => {
  try {
    f()
  } catch (error) {
    return `${(error as { code?: string }).code} ${(error as Error).message}`
  }
  return 'nothing thrown'
}

const f = (x: Tensor): Tensor => x.sin().mul(x).exp().sum()

describe.each(present)('on %s', (engine) => {
  describe.each(types)('%s', (dtype) => {
    const x = () => tensor([0.5, -1, 2], { dtype })
    const here = (name: string, body: () => void) => test(name, () => using(engine, body))

    here('trees in, trees out, numbers and constants among them', () => {
      const g = ({ w, b }: { w: Tensor; b: Tensor[] }, [s, t]: [Tensor, Tensor]) => ({
        y: [w.mul(s), { z: (b[0] as Tensor).add(t) }],
        s,
        name: 'text',
        none: null,
        also: [1, true, undefined],
      })
      const params = { w: x(), b: [x()] }
      const compiled = agree(g as never, [params, [3, 0.5]])
      const result = compiled(params as never, [3, 0.5] as never) as unknown as { s: number }
      expect(result.s).toBe(3)
    })

    here('every order with the transforms', () => {
      const c = compile(f)
      const v = tensor([1, 0.5, -1], { dtype })
      expect(plain(grad(c)(x()))).toEqual(plain(grad(f)(x())))
      agree(grad(f), [x()])
      agree(grad(c), [x()])
      agree(grad(grad((a: Tensor) => a.mul(a).mul(a).sum().mul(1)) as never) as never, [tensor(2, { dtype })])
      agree((a: Tensor) => jvp(f, [a], [v]), [x()])
      agree((a: Tensor) => jvp(c, [a], [v]), [x()])
      agree((a: Tensor) => vjp(f, a)[1](tensor(2, { dtype })), [x()])
      agree(hessian(f), [x()])
      expect(plain(hessian(c)(x()))).toEqual(plain(hessian(f)(x())))
      agree((a: Tensor) => hvp(f, a, v), [x()])
      agree(
        jacobian((a: Tensor) => a.square()),
        [x()],
      )
      agree((a: Tensor) => compile((b: Tensor) => compile(f)(b).add(c(b)))(a), [x()])
      agree(
        grad((a: Tensor) => checkpoint(f)(a)),
        [x()],
      )
      agree(
        grad((a: Tensor) => customGradient((b) => [b.square().sum(), (g) => b.mul(g).mul(5)])(a)),
        [x()],
      )
      const m = tensor(
        [
          [1, 2],
          [3, 4],
        ],
        { dtype },
      )
      agree(vmap(f), [m])
      expect(plain(vmap(c)(m))).toEqual(plain(vmap(f)(m)))
      agree(vmap(grad(c)), [m])
      agree((a: Tensor, b: Tensor) => valueAndGrad((p: Tensor, q: Tensor) => p.mul(q).sum(), { argnums: [0, 1] })(a, b), [x(), v])
    })

    here('what is closed over and watched outside is differentiated by', () => {
      const outer = (w: Tensor) => compile((a: Tensor) => a.mul(w).sum())(x())
      expect(plain(grad(outer)(x()))).toEqual(plain(x()))
    })

    here('empty and scalar shapes, other types beside', () => {
      for (const shape of [[0], [0, 3], [2, 0], []]) agree((a: Tensor) => [a.add(1), a.sum(), a], [zeros(shape, { dtype })])
      const labels = tensor([0, 2], { dtype: 'int32' })
      agree((a: Tensor, i: Tensor, k: Tensor) => [a.gather(i), i.add(k), i.mul(2), a.cast('float64'), a.greater(0)], [x(), labels, 1])
      agree((i: Tensor, k: Tensor) => [i.add(k), i.mul(k)], [labels, 0.5])
      agree((i: Tensor, k: Tensor) => [i.add(k), i.mul(k)], [labels, 7])
    })

    here('a number takes the type of what it meets, as it does outside', () => {
      const mixed = (a: Tensor, b: Tensor, k: Tensor) => [a.mul(k), b.mul(k), a.add(b).sub(k)]
      agree(mixed, [x(), tensor([1, 2, 3], { dtype: dtype === 'float32' ? 'float64' : 'float32' }), 0.1])
      const inside = compile((a: Tensor, k: number) => a.mul(k * 2))
      expect(code(() => inside(x(), 2))).toMatch(/^ERR_VALUE .*x\.mul\(2\).*compile\.test\.ts/)
      agree((a: Tensor, k: number) => a.mul(k * 2), [x(), 2], { static: 1 })
      // Whether a number is an integer matters beside integers alone.
      const seen = vi.fn()
      const scaled = (a: Tensor, k: Tensor) => {
        seen()
        return a.mul(k)
      }
      const c = compile(scaled)
      for (const k of [1, 0.5, 1, 0.5, 3e9])
        for (const a of [x(), tensor([3, 4], { dtype: 'int32' })]) expect(plain(c(a, k))).toEqual(plain(scaled(a, k as never)))
      expect(c.signatures).toHaveLength(3)
      expect(seen).toHaveBeenCalledTimes(3 + 10)
    })

    here('results are fresh, arguments are left alone', () => {
      const c = compile((a: Tensor) => [a, a, a.add(0)])
      const given = x()
      const before = given.toArray()
      const [p, q, r] = c(given)
      const [s] = c(given)
      expect(new Set([given, p, q, r, s].map((t) => t?.data)).size).toBe(5)
      p?.data.fill(9)
      expect([given.toArray(), q?.toArray(), s?.toArray()]).toEqual([before, before, before])
    })

    here('typed arrays are read in place', () => {
      const array = dtype === 'float32' ? Float32Array.of(1, 2) : Float64Array.of(1, 2)
      const c = compile((a: Tensor) => a.mul(2))
      expect(c(array).toArray()).toEqual([2, 4])
      array[0] = 5
      expect(c(array).toArray()).toEqual([10, 4])
      expect(c.signatures).toHaveLength(1)
    })

    here('a tensor that is closed over is a constant', () => {
      const [uniform, other] = [tensor([2, 2], { dtype }), tensor([1, 2], { dtype })]
      const c = compile((a: Tensor) => [a.mul(uniform), a.mul(other)])
      const one = tensor([1, 1], { dtype })
      const before = plain(c(one))
      uniform.data.fill(7)
      other.data.fill(7)
      expect(plain(c(one))).toEqual(before)
    })
  })

  test('a Random inside draws anew at each call, as the plain function does', () => {
    using(engine, () => {
      const [a, b] = [new Random(3), new Random(3)]
      const draw = (rng: Random) => [rng.normal([2]), rng.uniform([2], 1, 2), rng.permutation(4)]
      const compiled = compile(() => draw(a))
      for (let i = 0; i < 3; i++) expect(plain(compiled())).toEqual(plain(draw(b)))
      const dropped = compile((x: Tensor) => new nn.Dropout(0.5).forward(x))
      const ones = tensor(new Float32Array(64).fill(1))
      expect(dropped(ones).toArray()).not.toEqual(dropped(ones).toArray())
    })
  })

  test('parameters are read at each call, whether closed over, given as arguments, or differentiated by', () => {
    using(engine, () => {
      const model = new nn.Linear(2, 1, { rng: new Random(1) })
      const x = tensor([[1, 2]])
      const cost = (a: Tensor) => model.forward(a).square().sum()
      const functions = [
        agree(cost, [x]),
        agree((a: Tensor) => valueAndGrad(model, cost)(a), [x]),
        agree((a: Tensor, w: Tensor) => a.matmul(w.transpose()), [x, model.weight]),
        agree((a: Tensor) => grad((w: Tensor) => a.matmul(w.transpose()).sum().mul(cost(a)))(model.weight), [x]),
        agree((a: Tensor) => functionalCall(model, { weight: [[3, 4]] }, a), [x]),
      ] as unknown as ((...a: Tensor[]) => unknown)[]
      const before = functions.map((g, i) => JSON.stringify(plain(i === 2 ? g(x, model.weight) : g(x))))
      model.weight.assign([[5, 6]])
      const after = functions.map((g, i) => JSON.stringify(plain(i === 2 ? g(x, model.weight) : g(x))))
      expect(after.map((text, i) => text === before[i])).toEqual([false, false, false, false, true])
      expect(plain(functions[1]?.(x))).toEqual(plain(valueAndGrad(model, cost)(x)))
      model.bias?.assign([9])
      expect(plain(functions[0]?.(x))).toEqual(plain(cost(x)))
      // Stand-ins of the call are read too.
      const wrapped = new (class extends nn.Module {
        inner = model
        step = compile((a: Tensor) => this.inner.forward(a))
        forward = (a: Tensor) => this.step(a)
      })()
      wrapped.forward(x)
      expect(functionalCall(wrapped, { 'inner.weight': [[1, 1]], 'inner.bias': [0] }, x).toArray()).toEqual([[3]])
      expect(wrapped.predict(x).toArray()).toEqual(wrapped.forward(x).toArray())
      model.weight.frozen = true
      expect(plain(functions[1]?.(x))).toEqual(plain(valueAndGrad(model, cost)(x)))
    })
  })

  test('buffers that the function assigns are assigned at each call', () => {
    using(engine, () => {
      const make = () => new nn.BatchNorm1d(2)
      const [one, other] = [make(), make()]
      const x = tensor([
        [1, 2],
        [3, 5],
        [4, 9],
      ])
      const step = (m: nn.Module) => (a: Tensor) => valueAndGrad(m, (b: Tensor) => m.forward(m.forward(b)).square().sum())(a)
      const compiled = compile(step(one))
      for (let i = 0; i < 3; i++) {
        expect(plain(compiled(x))).toEqual(plain(step(other)(x)))
        expect(plain(one.stateDict())).toEqual(plain(other.stateDict()))
      }
    })
  })

  test('off the main thread: the same values; arguments may be changed at once', () =>
    during(engine, async () => {
      const rng = new Random(5)
      const c = compile((a: Tensor, k: Tensor) => ({ y: a.mul(k), z: rng.uniform([2]), n: k, a }))
      const [x, twin] = [tensor([1, 2]), new Random(5)]
      const calls = [c.async(x, 2), c.async(x, 3)]
      x.data.fill(0)
      const [first, second] = await Promise.all(calls)
      expect(first?.y.toArray()).toEqual([2, 4])
      expect(second?.y.toArray()).toEqual([3, 6])
      expect([first?.n, first?.z.toArray(), second?.z.toArray()]).toEqual([2, twin.uniform([2]).toArray(), twin.uniform([2]).toArray()])
      expect(first?.a.toArray()).toEqual([1, 2])
      await expect(compile((a: Tensor) => a.gather(tensor([7], { dtype: 'int32' }))).async(x)).rejects.toThrow(/index|ERR_INDEX/)
      await expect(compile((a: Tensor) => a.sum().item()).async(x)).rejects.toMatchObject({ code: 'ERR_VALUE_NEEDED' })
      expect(await compile(() => ({ n: 1 })).async()).toEqual({ n: 1 })
    }))

  test('inside of a forward, a prediction and a fit', () =>
    during(engine, async () => {
      class Block extends nn.Module {
        inner = new nn.Linear(2, 1, { rng: new Random(2) })
        step = compile((x: Tensor) => this.inner.forward(x.tanh()))
        forward(x: Tensor): Tensor {
          return this.step(x)
        }
      }
      const model = new Block()
      const x = tensor([
        [1, 2],
        [0, 1],
      ])
      const before = model.forward(x).toArray()
      expect(model.predict(x).toArray()).toEqual(before)
      const twin = new Block()
      twin.step = ((y: Tensor) => twin.inner.forward(y.tanh())) as never
      for (const m of [model, twin])
        await new MBSGD(m, { loss: loss.mse, learningRate: 0.1, batchSize: 2 }).fit({ x, y: [[1], [0]] }, { epochs: 3, seed: 1 })
      expect(plain(model.stateDict())).toEqual(plain(twin.stateDict()))
      expect(model.forward(x).toArray()).not.toEqual(before)
      expect(plain(model.forward(x))).toEqual(plain(twin.forward(x)))
    }))
})

test('during a fit: parameters of one finished epoch, and no buffer is assigned', async () => {
  // Twins that are trained alike: read of two moments, they would differ.
  class Twins extends nn.Module {
    one = new nn.Linear(4, 1, { rng: new Random(1) })
    two = new nn.Linear(4, 1, { rng: new Random(1) })
    norm = new nn.BatchNorm1d(1)
    forward(x: Tensor): Tensor {
      return this.norm.forward(this.one.forward(x).add(this.two.forward(x)))
    }
  }
  const model = new Twins()
  const x = new Random(2).normal([64, 4])
  const apart = compile(() => [model.one.weight.sub(model.two.weight).abs().sum(), model.one.weight])
  const assigns = compile((a: Tensor) => model.forward(a))
  assigns(x)
  const [, first] = apart()
  const fit = new MBSGD(model, { loss: loss.mse, learningRate: 0.05, batchSize: 8 }).fit(
    { x, y: x.sum(1, { keepDims: true }) },
    { epochs: 3000, seed: 1 },
  )
  let done = false
  const finished = fit.finally(() => {
    done = true
  })
  let seen = 0
  let refused = 0
  while (!done) {
    const [distance] = apart()
    expect(distance?.item()).toBe(0)
    seen++
    const answer = code(() => assigns(x))
    if (!done && /^ERR_BUSY/.test(answer)) refused++
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await finished
  expect(seen).toBeGreaterThan(0)
  if (present.includes('native')) expect(refused).toBeGreaterThan(0)
  expect(apart()[1]?.toArray()).not.toEqual(first?.toArray())
}, 60_000)

describe.each(present)('donated arguments on %s', (engine) => {
  const update = (p: { w: Tensor; b: Tensor }, x: Tensor, y: Tensor) => {
    const [cost, g] = valueAndGrad((q: { w: Tensor; b: Tensor }) => x.matmul(q.w).add(q.b).sub(y).square().mean())(p)
    return [cost, { w: p.w.sub(g.w.mul(0.1)), b: p.b.sub(g.b.mul(0.1)) }] as const
  }
  const make = () => ({
    w: tensor([
      [1, 2],
      [3, 4],
    ]),
    b: tensor([0, 1]),
  })
  const [x, y] = [
    tensor([
      [1, 2],
      [3, -1],
      [0, 1],
    ]),
    zeros([3, 2]),
  ]

  test('results take over their memory, with the same values', () =>
    using(engine, () => {
      const step = compile(update, { donate: 0 })
      let [p, q] = [make(), make()]
      const memory = [p.w.data, p.b.data]
      for (let i = 0; i < 5; i++) {
        const given = p
        const [cost, next] = step(p, x, y)
        const [expected, nextExpected] = update(q, x, y)
        expect(plain([cost, next])).toEqual(plain([expected, nextExpected]))
        expect([next.w.data === memory[0], next.b.data === memory[1]]).toEqual([true, true])
        for (const gone of [given.w, given.b]) {
          expect(code(() => gone.data)).toMatch(/^ERR_DONATED/)
          expect(String(gone)).toContain('donated')
          expect(code(() => gone.add(1))).toMatch(/^ERR_DONATED/)
        }
        expect(code(() => step(given, x, y))).toMatch(/^ERR_DONATED/)
        p = next
        q = nextExpected
      }
      expect(x.toArray()).toEqual([
        [1, 2],
        [3, -1],
        [0, 1],
      ])
      const before = plain(p)
      step.profile(p, x, y)
      expect(plain(p)).toEqual(before)
      // Inside of a transform the plain function runs, and takes nothing.
      grad((a: Tensor) => step({ ...p, b: a }, x, y)[0])(p.b)
      expect(plain(p)).toEqual(before)
    }))

  test('only where nothing reads them afterwards', () =>
    using(engine, () => {
      const orders: ((a: Tensor, b: Tensor) => unknown)[] = [
        (a, b) => [a.add(1), a.sum(), a.matmul(b)],
        (a, b) => [b, a],
        (a) => [a, a.transpose()],
        (a) => [a.transpose().add(a)],
        (a, b) => [a.matmul(b).add(a), b.add(a)],
        (a, b) => [a.add(b.slice([0, 1])), b.exp()],
        (a, b) => [a.exp(), a.gather(tensor([1, 0], { dtype: 'int32' })), b.mul(a)],
        (a) => [a.cumsum(0), a.softmax(1), a.flip()],
        (a) => [a.reshape([4]), a.cast('float64'), a.cast('int32')],
      ]
      for (const g of orders) {
        const args = () =>
          [
            tensor([
              [1, 2],
              [3, 4],
            ]),
            tensor([
              [5, 6],
              [7, 8],
            ]),
          ] as const
        const c = compile(g as (a: Tensor, b: Tensor) => unknown, { donate: [0, 1] })
        for (let i = 0; i < 2; i++) expect(plain(c(...args()))).toEqual(plain(g(...args())))
      }
    }))

  test('a call that fails leaves them as they were', () =>
    during(engine, async () => {
      const c = compile((a: Tensor, i: Tensor) => [a.exp(), a.gather(i), a.exp().gather(i)], { donate: 0 })
      const a = tensor([1, 2])
      expect(code(() => c(a, tensor([0, 9], { dtype: 'int32' })))).toMatch(/^ERR_INDEX/)
      expect(a.toArray()).toEqual([1, 2])
      const waiting = c.async(a, tensor([0, 9], { dtype: 'int32' }))
      if (engine === 'native') expect(code(() => a.data)).toMatch(/^ERR_DONATED/)
      await expect(waiting).rejects.toMatchObject({ code: 'ERR_INDEX' })
      expect(a.toArray()).toEqual([1, 2])
      const { data } = a
      const doubled = compile((b: Tensor) => b.mul(2), { donate: 0 })
      const y = await doubled.async(a)
      expect([y.toArray(), y.data === data]).toEqual([[2, 4], true])
      expect(code(() => a.data)).toMatch(/^ERR_DONATED/)
    }))

  test('what is refused', () =>
    using(engine, () => {
      const c = compile((a: Tensor, b: Tensor) => a.add(b), { donate: 0 })
      const a = tensor([1, 2, 3])
      expect(code(() => c(a, a))).toMatch(/^ERR_VALUE .*donated/)
      const halves = new Float32Array(8)
      expect(code(() => c(halves.subarray(0, 5), halves.subarray(3, 8)))).toMatch(/^ERR_VALUE .*donated/)
      expect(c(halves.subarray(0, 4), halves.subarray(4, 8)).size).toBe(4)
      const p = new nn.Parameter(tensor([1, 2, 3]))
      expect(code(() => c(p, a))).toMatch(/^ERR_VALUE .*parameter/)
      expect(a.toArray()).toEqual([1, 2, 3])
      expect(code(() => compile((b: Tensor) => b, { donate: 0, static: [0] }))).toMatch(/^ERR_OPTION/)
      const scaled = compile((b: Tensor) => b.mul(p), { donate: 0 })
      expect(code(() => scaled(p.data as Float32Array))).toMatch(/^ERR_VALUE .*donated/)
    }))
})

describe('what is refused', () => {
  test('reading a value, with its place', () => {
    for (const read of [
      (x: Tensor) => (x.sum().item() > 0 ? x : x.neg()),
      (x: Tensor) => x.mul(x.data[0] as number),
      (x: Tensor) => x.mul((x.toArray() as number[])[0] as number),
      (x: Tensor) => grad((y: Tensor) => y.mul(y.sum().item()).sum())(x),
    ])
      expect(code(() => compile(read)(tensor([1, 2])))).toMatch(
        /^ERR_VALUE_NEEDED compile: .*compile\.test\.ts:\d+:\d+.*where\(.*scan\(.*static/,
      )
    const p = new nn.Parameter(tensor([1, 2]))
    expect(code(() => compile((x: Tensor) => x.mul(p.data[0] as number))(tensor([1])))).toMatch(/^ERR_VALUE_NEEDED/)
    expect(code(() => compile((x: Tensor) => p.assign(x))(tensor([1, 2])))).toMatch(/^ERR_NOT_DIFFERENTIABLE/)
    expect(code(() => compile(() => p.assign([3, 4]))())).toMatch(/^ERR_NOT_DIFFERENTIABLE/)
    expect(p.toArray()).toEqual([1, 2])
  })

  test('tensors that leak out of a recording', () => {
    let kept: Tensor | undefined
    const c = compile((x: Tensor) => {
      kept = x.mul(2)
      return kept
    })
    const result = c(tensor([1]))
    expect(result.toArray()).toEqual([2])
    const leaked = kept as Tensor
    for (const use of [
      () => leaked.add(1),
      () => leaked.data,
      () => leaked.item(),
      () => compile((x: Tensor) => x.add(leaked))(tensor([1])),
      () => compile(() => leaked)(),
      () => compile((x: Tensor) => x.add(1))(leaked),
      () => grad((x: Tensor) => x.mul(leaked).sum())(tensor([1])),
    ])
      expect(code(use)).toMatch(/^ERR_LEAKED .*mul.*compile/)
    expect(c(tensor([4])).toArray()).toEqual([8])
  })

  test('arguments and results that are no trees of tensors, and options', () => {
    const id = compile((x: unknown) => x)
    for (const bad of [new Map(), () => 1, new Date(), Symbol('s'), new Uint8Array(2), [new nn.Linear(1, 1)]])
      expect(code(() => id(bad as never))).toMatch(/^ERR_VALUE compile: argument 0.*static/)
    expect(code(() => compile(() => new Map())())).toMatch(/^ERR_VALUE compile: the result/)
    expect(code(() => compile(() => [{ a: () => 1 }])())).toMatch(/the result\[0\]\.a/)
    expect(code(() => compile(async (x: Tensor) => x)(tensor(1)))).toMatch(/^ERR_VALUE .*promise.*\.async/)
    expect(code(() => compile(3 as never))).toMatch(/^ERR_VALUE compile: expected a function/)
    expect(code(() => compile(f, { statics: 1 } as never))).toMatch(/^ERR_OPTION .*static/)
    for (const bad of [-1, 0.5, 'x']) expect(code(() => compile(f, { static: bad as never }))).toMatch(/^ERR_/)
    expect(code(() => compile((x: Tensor) => x, { static: 0 })(tensor(1)))).toMatch(/^ERR_VALUE .*static/)
    const gone = tensor([1, 2])
    structuredClone(gone.data.buffer, { transfer: [gone.data.buffer as ArrayBuffer] })
    expect(code(() => compile(f)(gone))).toMatch(/^ERR_DETACHED/)
    expect(code(() => grad((x: Tensor) => compile(f).describe(x) as never)(tensor([1])))).toMatch(/^ERR_VALUE describe/)
  })

  test('an error of the function passes through and nothing is kept', () => {
    const c = compile((x: Tensor) => {
      if (x.rank !== 1) throw new RangeError('mine')
      return x.matmul(tensor([[1], [2]]))
    })
    expect(code(() => c(tensor([[1]])))).toMatch('mine')
    expect(code(() => c(tensor([1, 2, 3])))).toMatch('ERR_SHAPE')
    expect(c.signatures).toEqual([])
    expect(c(tensor([1, 2])).toArray()).toEqual([5])
  })
})

describe('programs are kept', () => {
  test('by shapes, types, trees and static values, and recorded once', () => {
    const seen = vi.fn()
    const c = compile(
      (x: unknown, n: unknown) => {
        seen()
        let y = (x as { a: Tensor }).a
        for (let i = 0; i < ((n as { n: number })?.n ?? 1); i++) y = y.add(1)
        return y
      },
      { static: [1] },
    )
    const a = tensor([1, 2])
    const calls: [unknown, unknown][] = [
      [{ a }, { n: 1 }],
      [{ a: tensor([5, 6]) }, { n: 1 }],
      [{ a }, { n: 2 }],
      [{ a: tensor([1, 2, 3]) }, { n: 2 }],
      [{ a: tensor([1, 2], { dtype: 'float64' }) }, { n: 2 }],
      [{ a, b: a }, { n: 2 }],
      [{ b: a, a }, { n: 2 }],
      [{ a, b: 'text' }, { n: 2 }],
      [{ a }, undefined],
      [{ a }, null],
    ]
    for (let turn = 0; turn < 3; turn++) for (const [x, n] of calls) c(x as never, n as never)
    expect(seen).toHaveBeenCalledTimes(9)
    expect(c.signatures).toHaveLength(9)
    expect(c.signatures.map(({ calls: n }) => n).reduce((p, q) => p + q)).toBe(30)
    const options = { n: 3 }
    expect(c({ a } as never, options as never)).toEqual(tensor([4, 5]))
    options.n = 1
    expect(c({ a } as never, options as never)).toEqual(tensor([2, 3]))
  })

  test('within bounds: the least recently used are freed and recorded again', () => {
    const seen = vi.fn()
    const c = compile((x: Tensor) => {
      seen(x.size)
      return x.exp().max()
    })
    // Each holds 16 MB.
    const sizes = [0, 1, 2, 3, 4, 5].map((i) => 2 ** 22 + i)
    for (const n of sizes) expect(c(zeros([n])).item()).toBe(1)
    expect(c.signatures.map(({ signature }) => signature)).toEqual(sizes.slice(-3).map((n) => `[float32 [${n}]]`))
    c(zeros([sizes[3] as number]))
    expect(seen).toHaveBeenCalledTimes(6)
    c(zeros([sizes[0] as number]))
    expect(seen).toHaveBeenCalledTimes(7)
    expect(c.signatures.map(({ signature }) => signature)).toEqual([5, 3, 0].map((i) => `[float32 [${sizes[i]}]]`))
    expect(c.signatures.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(2 ** 26)
  })

  test('a function with a new signature at each call is told once', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    try {
      const growing = compile(function growing(x: Tensor) {
        return x.sum()
      })
      for (let n = 1; n < 60; n++) growing(zeros([n]))
      expect(warn).toHaveBeenCalledTimes(1)
      expect(String(warn.mock.calls[0]?.[0])).toMatch(/growing.*float32 \[16\]\] after .*float32 \[15\]/)
      warn.mockClear()
      const steady = compile((x: Tensor) => x.sum())
      for (let n = 1; n < 60; n++) for (let i = 0; i < 2; i++) steady(zeros([n]))
      expect(warn).not.toHaveBeenCalled()
    } finally {
      warn.mockRestore()
    }
  })

  test.runIf(present.length > 1)('for the engine in use', () => {
    const seen = vi.fn()
    const c = compile((x: Tensor) => {
      seen()
      return x.exp().sum()
    })
    const x = tensor([1, 2], { dtype: 'float64' })
    const results = [...present, ...present].map((name) => using(name, () => c(x).item()))
    for (const y of results) expect(y).toBeCloseTo(Math.E + Math.E ** 2, 12)
    expect(seen).toHaveBeenCalledTimes(1)
  })
})

test('numbers alone compute in float64, beside tensors in their type', () => {
  const sum = compile((a: Tensor, b: Tensor) => a.add(b).mul(3))
  const third = sum(1 / 3, 1 / 7)
  expect([third.dtype, third.item()]).toEqual(['float64', (1 / 3 + 1 / 7) * 3])
  const beside = compile((x: Tensor, a: Tensor, b: Tensor) => x.mul(a.add(b)))(tensor([1]), 1, 2)
  expect([beside.dtype, beside.toArray()]).toEqual(['float32', [3]])
})

test('detectAnomaly sees into a compiled function', () => {
  const c = compile((x: Tensor) => x.log().sum())
  c(tensor([1]))
  expect(code(() => detectAnomaly(() => c(tensor([-1]))))).toMatch(/^ERR_ANOMALY .*log/)
})

test('describe, profile', () => {
  const c = compile((x: Tensor, w: Tensor) => x.matmul(w).relu())
  const [x, w] = [zeros([8, 4]), zeros([4, 3])]
  expect(c.describe(x, w)).toMatch(/matmul +\[8, 4\] · \[4, 3\]/)
  expect(c.profile(x, w).calls.map(({ kernel }) => kernel)).toEqual(['matmul', 'elementwise'])
  expect(c.name).toBe('')
  expect(c.signatures).toEqual([{ signature: '[float32 [8, 4], float32 [4, 3]]', calls: 0, bytes: expect.any(Number) }])
})

test('profile lets the memory of what it measured go', () => {
  const c = compile((x: Tensor, w: Tensor) => x.matmul(w).relu().matmul(w).softmax())
  const [x, w] = [zeros([8, 4]), zeros([4, 4])]
  c(x, w)
  const { compile: compileOne } = engine()
  let held = 0
  let most = 0
  const spy = vi.spyOn(engine(), 'compile').mockImplementation((program) => {
    const executable = compileOne.call(engine(), program)
    most = Math.max(most, ++held)
    const release = vi.spyOn(executable, 'release')
    release.mockImplementation(() => {
      held--
    })
    return executable
  })
  try {
    expect(c.profile(x, w).calls.length).toBeGreaterThan(3)
    expect([held, most]).toEqual([0, 2])
  } finally {
    spy.mockRestore()
  }
})
