/**
 * `scan` against the loop written out in JavaScript, on generated bodies: values, both modes, second order, eagerly and in programs,
 * on both engines, in both types. Then what bodies close over, what they draw, and what is refused.
 */

import { describe, expect, test } from 'vitest'
import {
  checkpoint,
  customGradient,
  grad,
  hessian,
  jvp,
  loss,
  MBSGD,
  nn,
  Random,
  scan,
  seed,
  stack,
  type Tensor,
  tensor,
  trace,
  vjp,
  zeros,
} from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { floats } from '../support/models.js'
import { replay } from '../support/replay.js'
import { type Loop, randomLoop, weighed, writtenOut } from '../support/scan-bodies.js'
import { farthest } from '../support/tolerance.js'

announce('scan')

const f64 = (x: unknown) => tensor(x as number[], { dtype: 'float64' })
const count = Number(process.env.WENGERT_RANDOM_COUNT ?? 40)

/** The results of a function as a compiled program gives them. */
const replayed = (f: (...args: Tensor[]) => Tensor[], inputs: readonly Tensor[], like: readonly Tensor[]): Tensor[] =>
  replay(f, inputs, like, inputs[0]?.dtype === 'float32' ? 'float32' : 'float64')

type Way = typeof writtenOut

/** Everything that can be asked of a loop: its results, both modes, and second order in three ways. */
function askedOf({ body, outer, init, xs, length, reverse }: Loop, way: Way) {
  const inputs = [...outer, ...init, ...xs]
  const all = (...args: Tensor[]): Tensor[] => {
    const [o, i, x] = [
      args.slice(0, outer.length),
      args.slice(outer.length, outer.length + init.length),
      args.slice(outer.length + init.length),
    ]
    const [carry, ys] = way(body(o), i, x, { reverse, length })
    return [...carry, ...ys]
  }
  const cost = (args: Tensor[]) => weighed(all(...args))
  const directions = inputs.map((x, k) => x.mul(0.3).add(0.1 * (k + 1)))
  const results = (...args: Tensor[]): Tensor[] => {
    const gradients = grad(cost)(args) as Tensor[]
    const tangents = jvp((a: Tensor[]) => all(...a), [args], [directions])[1] as Tensor[]
    const slope = (a: Tensor[]) => weighed(grad(cost)(a) as Tensor[])
    const reverseTwice = grad(slope)(args) as Tensor[]
    const forwardOverReverse = jvp((a: Tensor[]) => grad(cost)(a), [args], [directions])[1] as Tensor[]
    const reverseOverForward = grad((a: Tensor[]) => weighed(jvp((b: Tensor[]) => all(...b), [a], [directions])[1] as Tensor[]))(
      args,
    ) as Tensor[]
    return [...all(...args), ...gradients, ...tangents, ...reverseTwice, ...forwardOverReverse, ...reverseOverForward]
  }
  return { inputs, results }
}

const scanned: Way = (f, init, xs, { reverse = false } = {}) => scan(f as never, init, xs, { reverse }) as [Tensor[], Tensor[]]

test.each(floats)(`${count} generated loops on ${present.join(' and ')}, eager and compiled, %s`, { timeout: 240_000 }, (dtype) => {
  const wrong: string[] = []
  for (let number = 0; number < count && wrong.length < 10; number++) {
    const loop = randomLoop(number, dtype)
    const tolerance = dtype === 'float32' ? 3e-4 : 1e-10
    try {
      const expected = using('js', () => askedOf(loop, writtenOut).results(...askedOf(loop, writtenOut).inputs))
      for (const engine of present) {
        const { inputs, results } = askedOf(loop, scanned)
        const eager = using(engine, () => results(...inputs))
        const compiled = using(engine, () => replayed(results, inputs, eager))
        eager.forEach((y, i) => {
          for (const [how, x] of [
            ['eager', y],
            ['compiled', compiled[i] as Tensor],
          ] as const) {
            const wanted = expected[i]?.data ?? []
            // Sums that cancel keep the error of their parts, which are about 1.
            const near = wanted.every((v: number, k: number) => Math.abs(v - (x.data[k] as number)) <= 0.1 * tolerance)
            const found = near ? '' : farthest(x.data, wanted, tolerance)
            if (found) wrong.push(`loop ${number}, ${engine}, ${how}, result ${i}: ${found}`)
          }
        })
      }
    } catch (error) {
      wrong.push(`loop ${number}: ${(error as Error).stack?.split('\n').slice(0, 4).join(' ')}`)
    }
  }
  expect(wrong).toEqual([])
})

describe.each(present)('on %s', (engine) => {
  const on = (name: string, body: () => void) => test(name, () => using(engine, body))

  on('trees, numbers, and the order of rows', () => {
    const [carry, ys] = scan(
      ({ n, s }: { n: Tensor; s: Tensor }, { a }: { a: Tensor }) =>
        [
          { n: n.add(1), s: s.mul(0.5).add(a.sum()) },
          { before: n, pair: [a, s] },
        ] as const as never,
      { n: tensor(0, { dtype: 'int32' }), s: 0 as never },
      {
        a: tensor([
          [1, 2],
          [3, 4],
          [5, 6],
        ]),
      },
    ) as unknown as [{ n: Tensor; s: Tensor }, { before: Tensor; pair: Tensor[] }]
    expect(carry.n.item()).toBe(3)
    expect(carry.n.dtype).toBe('int32')
    expect(carry.s.item()).toBe(3 / 4 + 7 / 2 + 11)
    expect(ys.before.toArray()).toEqual([0, 1, 2])
    expect(ys.pair[0]?.toArray()).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ])
    expect(ys.pair[1]?.toArray()).toEqual([0, 3, 8.5])
    const back = scan((c, x) => [c.mul(2).add(x), c], 0, tensor([1, 2, 3]), { reverse: true })
    expect(back[0].item()).toBe(17)
    expect(back[1].toArray()).toEqual([8, 3, 0])
    expect(scan((c: Tensor) => [c.mul(2), undefined] as const, tensor(3), null, { length: 5 })[0].item()).toBe(96)
  })

  on('no rows: the carry as it came, empty stacks, zero derivatives', () => {
    const xs = zeros([0, 3], { dtype: 'float64' })
    const w = f64([1, 2, 3])
    const f = (w: Tensor, c: Tensor, xs: Tensor) => scan((c, x) => [c.mul(w).add(x), c.mul(x)], c, xs)
    const [carry, ys] = f(w, f64([4, 5, 6]), xs)
    expect(carry.toArray()).toEqual([4, 5, 6])
    expect(ys.shape).toEqual([0, 3])
    const gradients = grad((w: Tensor, c: Tensor, x: Tensor) => f(w, c, x)[0].sum(), { argnums: [0, 1, 2] })(w, f64([4, 5, 6]), xs)
    expect(gradients.map((g) => g.toArray())).toEqual([[0, 0, 0], [1, 1, 1], []])
    const compiled = replayed((w, c) => f(w, c, xs), [w, f64([4, 5, 6])], [carry, ys])
    expect(compiled[0]?.toArray()).toEqual([4, 5, 6])
  })

  on('a result has memory of its own', () => {
    const xs = tensor([1, 2])
    const [last, ys] = scan((_c, x) => [x, x], 0, xs)
    last.data[0] = 9
    ys.data[0] = 9
    expect(xs.toArray()).toEqual([1, 2])
  })

  on('loops in loops, checkpoints and rules of its own in the body', () => {
    const xs = f64([
      [0.2, -0.4],
      [0.1, 0.3],
      [0.5, -0.2],
    ])
    const inner = (w: Tensor, wrap: (f: (x: Tensor) => Tensor) => (x: Tensor) => Tensor) => (c: Tensor, x: Tensor) => {
      const [d, ys] = scan((d, y) => [wrap((z) => z.mul(w).add(y).tanh())(d), d.mul(y)], c, x)
      return [d, ys.sum()] as const
    }
    const plain = (w: Tensor, wrap: (f: (x: Tensor) => Tensor) => (x: Tensor) => Tensor) => (c: Tensor, x: Tensor) => {
      let [d, s] = [c, f64(0)]
      for (let i = 0; i < 2; i++) [d, s] = [wrap((z) => z.mul(w).add(x.slice(i)).tanh())(d), s.add(d.mul(x.slice(i)))]
      return [d, s] as const
    }
    const same = (f: (x: Tensor) => Tensor) => f
    const cost = (run: [Tensor, Tensor]) => run[0].add(run[1].square().sum())
    const written = (w: Tensor) => {
      let c = f64(0.3)
      const ys: Tensor[] = []
      for (let t = 0; t < 3; t++) {
        const [d, y] = plain(w, same)(c, xs.slice(t))
        ys.push(y)
        c = d
      }
      return cost([c, stack(ys)])
    }
    const w = f64(0.7)
    for (const wrap of [
      same,
      (f: (x: Tensor) => Tensor) => checkpoint(f),
      (f: (x: Tensor) => Tensor) =>
        customGradient((x) => {
          const [y, pull] = vjp(f, x)
          return [y, (g) => pull(g)[0]]
        }),
    ]) {
      const looped = (w: Tensor) => cost(scan(inner(w, wrap), f64(0.3), xs) as [Tensor, Tensor])
      const checks = (f: (w: Tensor) => Tensor) => [
        f(w),
        grad(f)(w),
        hessian(f)(w),
        jvp(f, [w], [f64(2)])[1],
        grad((w: Tensor) => grad(f)(w))(w),
      ]
      const expected = checks(written)
      checks(looped).forEach((x, i) => {
        expect(x.item()).toBeCloseTo(expected[i]?.item() as number, 11)
      })
      expect(replayed((w) => [looped(w), grad(looped)(w)], [w], expected.slice(0, 2))[1]?.item()).toBeCloseTo(
        expected[1]?.item() as number,
        11,
      )
    }
  })

  on('parameters and tensors of outer functions are differentiated', () => {
    const model = new nn.Linear(2, 2, { rng: new Random(1), dtype: 'float64' })
    const xs = f64([
      [1, 2],
      [3, 4],
    ])
    const looped = () =>
      scan(
        (h: Tensor, x: Tensor) => [model.forward(h.add(x)).tanh(), undefined] as const,
        zeros([1, 2], { dtype: 'float64' }),
        xs.reshape([2, 1, 2]),
      )[0].sum()
    const plain = () => {
      let h = zeros([1, 2], { dtype: 'float64' })
      for (let t = 0; t < 2; t++) h = model.forward(h.add(xs.slice([t, t + 1]))).tanh()
      return h.sum()
    }
    const [a, b] = [grad(model, looped)(), grad(model, plain)()]
    for (const name of ['weight', 'bias']) expect(farthest(a[name]?.data ?? [], b[name]?.data ?? [], 1e-13)).toBe('')
    const second = (f: () => Tensor) => grad((x: Tensor) => grad((y: Tensor) => f().mul(y).mul(x))(f64(1)).square())(f64(2))
    expect(second(looped).item()).toBeCloseTo(second(plain).item(), 12)
  })

  on('draws move on in every iteration, as in the loop written out', () => {
    const xs = f64([1, 2, 3])
    for (const reverse of [false, true]) {
      const [a, b] = [new Random(3), new Random(3)]
      const [, ys] = scan((c, x) => [c, a.normal([2], { dtype: 'float64' }).add(a.uniform([]).cast('float64')).mul(x)], f64(0), xs, {
        reverse,
      })
      const rows = [0, 1, 2].map((k) => {
        const t = reverse ? 2 - k : k
        return [t, b.normal([2], { dtype: 'float64' }).add(b.uniform([]).cast('float64')).mul(xs.slice(t)).toArray()] as const
      })
      expect(ys.toArray()).toEqual(rows.sort(([s], [t]) => s - t).map(([, row]) => row))
      expect(a.normal([1]).toArray()).toEqual(b.normal([1]).toArray())
    }
    // A generator that the body makes begins anew in each; one of outside goes through loops in loops.
    const [, same] = scan((c, x) => [c, new Random(7).normal([]).mul(x)], 0, tensor([1, 1]))
    expect(same.toArray()[0]).toBe(same.toArray()[1])
    const [a, b] = [new Random(5), new Random(5)]
    const [, nested] = scan(
      (c, _x) => [c, scan((d, _y) => [d, a.uniform([])], c, tensor([0, 0]))[1].add(a.uniform([]))],
      tensor(0),
      tensor([0, 0]),
    )
    const rows = [0, 1].map(() => {
      const pair = [b.uniform([]), b.uniform([])]
      const last = b.uniform([])
      return pair.map((u) => u.add(last).item())
    })
    expect(nested.toArray()).toEqual(rows)
    expect(
      codeOf(() =>
        scan(
          (c, _x) => {
            const rng = new Random(1)
            return [c, scan((d, _y) => [d, rng.uniform([])], c, tensor([0, 0]))[1]]
          },
          tensor(0),
          tensor([0, 0]),
        ),
      ),
    ).toBe('ERR_VALUE')
    // The backward pass sees the numbers of the forward pass.
    const rng = new Random(9)
    const numbers: number[] = []
    const [value, g] = [0, 1]
      .map(() => new Random(4))
      .map((r, i) => {
        const f = (w: Tensor) => scan((c, x) => [c.add(w.mul(r.normal([], { dtype: 'float64' })).mul(x)), undefined], f64(0), xs)[0]
        return i === 0 ? f(f64(1)) : grad(f)(f64(1))
      }) as [Tensor, Tensor]
    numbers.push(rng.seed)
    expect(g.item()).toBe(value.item())
  })

  on('masks are drawn anew in each iteration, and the same backwards', () => {
    seed(11)
    const layer = new nn.Dropout(0.5)
    const run = (x: Tensor) => scan((c, _t) => [c, layer.forward(x)], 0, zeros([6]))[1]
    const ys = run(tensor([1, 1, 1, 1, 1, 1, 1, 1]))
    const rows = ys.toArray() as number[][]
    expect(new Set(rows.map(String)).size).toBeGreaterThan(3)
    seed(11)
    const g = grad((x: Tensor) => run(x).sum())(tensor([1, 1, 1, 1, 1, 1, 1, 1]))
    expect(g.toArray()).toEqual(rows.reduce((a, row) => a.map((v, i) => v + (row[i] as number)), new Array(8).fill(0)))
  })

  on('a tape shows the loop as one line', () => {
    const tape = trace((w: Tensor) => scan((c, x) => [c.mul(w).add(x), c], f64(1), f64([1, 2]))[0], f64(2))
    expect(tape.toString()).toContain('scan(')
    expect(tape.reverseTable()).toContain('4')
  })

  on('refusals', () => {
    const one = tensor([1, 2])
    expect(codeOf(() => scan((c, x) => [c.add(x.reshape([1])), x], 0, one))).toBe('ERR_SHAPE')
    expect(codeOf(() => scan((c, x) => [c.add(x).cast('float64'), x], 0, one))).toBe('ERR_DTYPE')
    expect(codeOf(() => scan(((c: Tensor) => [{ c }, c]) as never, 0 as never, one))).toBe('ERR_VALUE')
    expect(codeOf(() => scan(((c: Tensor) => c) as never, 0 as never, one))).toBe('ERR_VALUE')
    expect(codeOf(() => scan((c, x) => [c.add(x), x], 0, tensor(1)))).toBe('ERR_SHAPE')
    expect(codeOf(() => scan((c, x) => [c.add(x), x], 0, one, { length: 3 }))).toBe('ERR_SHAPE')
    expect(codeOf(() => scan((c: Tensor) => [c, c] as const, tensor(0), null, {}))).toBe('ERR_VALUE')
    expect(codeOf(() => scan((c, x) => [c.add(x), x], 0, one, { length: -1 }))).toBe('ERR_RANGE')
    expect(codeOf(() => scan((c, x) => [c.add(x), x], 0, one, { backwards: true } as never))).toBe('ERR_OPTION')
    expect(codeOf(() => scan((c, x) => [x.item() > 1 ? c : x, x], 0, one))).toBe('ERR_VALUE_NEEDED')
    let leaked: Tensor | undefined
    scan(
      (c, x) => {
        leaked = x.mul(2)
        return [c, x]
      },
      0,
      one,
    )
    expect(codeOf(() => leaked?.add(1))).toBe('ERR_LEAKED')
    const norm = new nn.BatchNorm1d(2)
    const before = norm.stateDict()
    expect(
      codeOf(() =>
        scan(
          (c, _x) => [norm.forward(c), c],
          tensor([
            [1, 2],
            [3, 4],
          ]),
          one,
        ),
      ),
    ).not.toBe('')
    expect(norm.stateDict()).toEqual(before)
  })
})

/** A recurrent network of one layer, by `scan` or written out. */
class Recurrent extends nn.Module {
  input = new nn.Linear(2, 3, { rng: new Random(1), dtype: 'float64' })
  hidden = new nn.Linear(3, 3, { rng: new Random(2), dtype: 'float64' })
  output = new nn.Linear(3, 1, { rng: new Random(3), dtype: 'float64' })
  drop = new nn.Dropout(0.3)
  constructor(
    readonly looped: boolean,
    readonly rate: number,
  ) {
    super()
  }
  override forward(x: Tensor): Tensor {
    const rows = x.transpose([1, 0, 2])
    const step = (h: Tensor, row: Tensor) => {
      const next = this.input.forward(row).add(this.hidden.forward(h)).tanh()
      return this.rate > 0 ? this.drop.forward(next) : next
    }
    const h0 = rows
      .slice(0)
      .mul(0)
      .sum(1, { keepDims: true })
      .add(zeros([1, 3], { dtype: 'float64' }))
    if (this.looped) return this.output.forward(scan((h: Tensor, row: Tensor) => [step(h, row), undefined] as const, h0, rows)[0])
    let h = h0
    for (let t = 0; t < (rows.shape[0] as number); t++) h = step(h, rows.slice(t))
    return this.output.forward(h)
  }
}

test.each(present)('a module with a loop trains as the one written out, on %s', async (engine) => {
  await during(engine, async () => {
    const x = new Random(5).normal([12, 4, 2], { dtype: 'float64' })
    const y = x.slice(null, null, 0).sum(1, { keepDims: true }).tanh()
    const fitted = async (looped: boolean, rate: number) => {
      const model = new Recurrent(looped, rate)
      await new MBSGD(model, { loss: loss.mse, learningRate: 0.1, batchSize: 4 }).fit({ x, y }, { epochs: 3, seed: 1 })
      return { y: model.predict(x).data }
    }
    const [a, b] = [await fitted(true, 0), await fitted(false, 0)]
    expect(farthest(a.y, b.y, 1e-11)).toBe('')
    // With masks: the same twice, and another mask in each iteration.
    const [c, d] = [await fitted(true, 0.3), await fitted(true, 0.3)]
    expect([...c.y]).toEqual([...d.y])
    expect(c.y[0]).not.toBe(a.y[0])
  })
})
