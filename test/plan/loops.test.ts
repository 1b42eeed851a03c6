/** Loops of programs: what leaves them, what a loop back reads or computes again, and that the values are those of the plain function. */

import { describe, expect, test } from 'vitest'
import type { Program, Step } from '../../lib/backend/program.js'
import { engine } from '../../lib/backend/select.js'
import { checkpoint, compile, gather, grad, nn, Random, scan, type Tensor, tensor, valueAndGrad, zeros } from '../../lib/index.js'
import { compile as compilePlan } from '../../lib/plan/plan.js'
import { record } from '../../lib/plan/record.js'
import { rowsApart } from '../../lib/plan/rows.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { programOf as lowered } from '../support/replay.js'
import { farthest } from '../support/tolerance.js'

announce('loops of programs')

const rng = new Random(1)
const f64 = { dtype: 'float64' } as const

/** The program of a function of these tensors. */
const programOf = (f: (...x: Tensor[]) => readonly Tensor[], ...inputs: Tensor[]): { program: Program; labels: string[] } =>
  lowered(f, inputs, f(...inputs), 'float64')

const kernelsOf = (steps: readonly Step[], kernel: string): number => steps.filter((step) => step.kernel === kernel).length
/** Products outside of the loops, and in each of them. */
const productsOf = ({ steps }: Program) => [
  kernelsOf(steps, 'matmul'),
  ...steps.flatMap(({ loop }) => (loop ? [kernelsOf(loop.steps, 'matmul')] : [])),
]

const [inputs, hidden, batch, length] = [3, 4, 2, 5]
const rnn = (wi: Tensor, wh: Tensor, b: Tensor, xs: Tensor): Tensor =>
  scan(
    (h: Tensor, x: Tensor) => {
      const next = x.matmul(wi).add(h.matmul(wh)).add(b).tanh()
      return [next, next] as const
    },
    zeros([batch, hidden], f64),
    xs,
  )[1]
const weights = [rng.normal([inputs, hidden], f64), rng.normal([hidden, hidden], f64), rng.normal([hidden], f64)]
const xs = rng.normal([length, batch, inputs], f64)

/** Compiled on every engine, a function gives what it gives eagerly. */
function same(f: (...x: Tensor[]) => unknown, ...inputs: Tensor[]): void {
  const leaves = (tree: unknown): Tensor[] => (Array.isArray(tree) ? tree.flatMap(leaves) : [tree as Tensor])
  const wanted = using('js', () => leaves(f(...inputs)))
  for (const engine of present) {
    using(engine, () => {
      const compiled = compile(f as (...x: Tensor[]) => Tensor)
      for (let call = 0; call < 2; call++)
        leaves(compiled(...inputs)).forEach((y, i) => {
          const other = wanted[i] as Tensor
          expect([y.dtype, y.shape]).toEqual([other.dtype, other.shape])
          expect(farthest(y.data, other.data, y.dtype === 'float32' ? 2e-5 : 1e-11), `${engine}, result ${i}`).toBe('')
        })
    })
  }
}

describe('products leave their loops', () => {
  test('xₜ·W before it, Σ aₜᵀ·bₜ and what only a stack takes after it; one product stays in each direction', () => {
    const gradient = valueAndGrad(
      (...x: Tensor[]) =>
        rnn(...(x as [Tensor, Tensor, Tensor, Tensor]))
          .square()
          .sum(),
      { argnums: [0, 1, 2, 3] },
    )
    const { program, labels } = programOf(
      (...x) => {
        const [value, g] = gradient(...x)
        return [value, ...(g as Tensor[])]
      },
      ...weights,
      xs,
    )
    // xs·Wᵢ; of Wᵢ, of Wₕ and of xs the gradients; h·Wₕ, and its pullback.
    expect(productsOf(program)).toEqual([4, 1, 1])
    const [forward, back] = labels.filter((label) => label.startsWith('loop')) as [string, string]
    expect(forward).toContain('a product over the whole stack before it')
    expect(back).toContain('of the loop forward reads stacks of tanh')
    expect(back).toContain('3 sums over the iterations after it')
    expect(back).toContain('a product over the whole stack after it')
    same((...x) => gradient(...x), ...weights, xs)
  })

  test('a product by what the loop carries stays; what does not change at all is computed once', () => {
    const f = (w: Tensor, xs: Tensor) =>
      scan(
        (h: Tensor, x: Tensor) => [h.matmul(w.transpose().exp()).add(x).tanh(), h.matmul(x.transpose())] as const,
        zeros([2, 3], f64),
        xs,
      )
    const [w, rows] = [rng.normal([3, 3], f64), rng.normal([4, 2, 3], f64)]
    const { program } = programOf((w, xs) => f(w as Tensor, xs as Tensor), w, rows)
    expect(productsOf(program)).toEqual([0, 2])
    expect(kernelsOf(program.steps, 'elementwise')).toBe(1)
    same((w, xs) => f(w as Tensor, xs as Tensor), w, rows)
  })

  test('an output projection in the body is one product over all hidden states', () => {
    const f = (w: Tensor, v: Tensor, b: Tensor, xs: Tensor) =>
      scan(
        (h: Tensor, x: Tensor) => {
          const next = h.matmul(w).add(x).tanh()
          return [next, next.matmul(v).add(b).sigmoid()] as const
        },
        zeros([2, 3], f64),
        xs,
      )[1]
    const given = [rng.normal([3, 3], f64), rng.normal([3, 5], f64), rng.normal([5], f64), rng.normal([4, 2, 3], f64)] as const
    const { program } = programOf((...x) => [f(...(x as [Tensor, Tensor, Tensor, Tensor]))], ...given)
    expect(productsOf(program)).toEqual([1, 1])
    const gradient = grad(
      (...x: Tensor[]) =>
        f(...(x as [Tensor, Tensor, Tensor, Tensor]))
          .square()
          .sum(),
      { argnums: [0, 1, 2, 3] },
    )
    same((...x) => gradient(...x), ...given)
  })

  test('sums that begin with something, by columns and rows, negated and scaled', () => {
    const f = (first: Tensor, a: Tensor, b: Tensor, s: Tensor) =>
      scan(
        (sum: Tensor, [x, y]: [Tensor, Tensor]) =>
          [
            sum.add(
              x
                .reshape([3, 1])
                .matmul(y.reshape([1, 2]))
                .neg()
                .mul(s),
            ),
            undefined,
          ] as const,
        first,
        [a, b] as [Tensor, Tensor],
      )[0]
    const given = [rng.normal([3, 2], f64), rng.normal([6, 3], f64), rng.normal([6, 2], f64), tensor(0.7, f64)] as const
    const { program } = programOf((...x) => [f(...(x as [Tensor, Tensor, Tensor, Tensor]))], ...given)
    expect(productsOf(program)[0]).toBe(1)
    expect(program.steps.some(({ loop }) => loop)).toBe(false)
    same((...x) => f(...(x as [Tensor, Tensor, Tensor, Tensor])), ...given)
  })
})

describe('what a loop back needs', () => {
  const backOf = (f: (c: Tensor, w: Tensor) => Tensor) =>
    programOf(
      (c, w) => [
        grad((w: Tensor) => scan((h: Tensor) => [f(h, w), undefined] as const, c as Tensor, null, { length: 6 })[0].sum())(w as Tensor),
      ],
      rng.normal([8], f64),
      rng.normal([8], f64),
    )
      .labels.filter((label) => label.startsWith('loop'))
      .at(-1) as string

  test('what is little work is computed again, what is much is read from a stack', () => {
    expect(backOf((h, w) => h.mul(w).square())).toMatch(/of the loop forward computes again mul \(/)
    expect(backOf((h, w) => h.mul(w).tanh())).toMatch(/of the loop forward reads stacks of tanh \(/)
  })

  test('behind a checkpoint everything is computed again', () => {
    expect(backOf((h, w) => checkpoint((x: Tensor) => x.mul(w).tanh())(h))).not.toContain('reads stacks')
    same(
      (c, w) =>
        grad((w: Tensor) =>
          scan((h: Tensor) => [checkpoint((x: Tensor) => x.mul(w).tanh())(h), undefined] as const, c as Tensor, null, {
            length: 6,
          })[0].sum(),
        )(w as Tensor),
      rng.normal([8], f64),
      rng.normal([8], f64),
    )
  })

  test('no pass makes a stack of what is behind a checkpoint, of what comes after it as ever', () => {
    const rows = rng.normal([6, 4, 3], f64)
    const [keys, values] = [rng.normal([3, 16], f64), rng.normal([16, 2], f64)]
    const step = (row: Tensor, k: Tensor, v: Tensor) => row.matmul(k).exp().matmul(v)
    const gradients =
      (f: typeof step) =>
      (...x: Tensor[]): Tensor[] =>
        grad((xs: Tensor, k: Tensor, v: Tensor) => scan((none: Tensor[], row: Tensor) => [none, f(row, k, v)] as const, [], xs)[1].sum(), {
          argnums: [0, 1, 2],
        })(...(x as [Tensor, Tensor, Tensor])) as Tensor[]
    /** Bytes of all stacks of [4, 16], as large as what lies between the two products. */
    const stack = 6 * 4 * 16 * 8
    const memory = (f: typeof step) => programOf(gradients(f), rows, keys, values).program.arenaBytes
    expect(memory(step)).toBeGreaterThan(stack)
    expect(memory(checkpoint(step))).toBeLessThan(stack)
    same(gradients(checkpoint(step)), rows, keys, values)

    const after = backOf((h, w) =>
      checkpoint((x: Tensor) => x.mul(w).sin())(h)
        .exp()
        .tanh(),
    )
    expect(after).toContain('reads stacks of exp, tanh (')
  })
})

describe('programs', () => {
  test('the program of 10 iterations is that of 10,000', () => {
    const shapeOf = (length: number) => {
      const { program } = programOf(
        (w, h, xs) => [
          grad((w: Tensor) =>
            scan((h: Tensor, x: Tensor) => [h.mul(w).add(x).sin(), undefined] as const, h as Tensor, xs as Tensor)[0].sum(),
          )(w as Tensor),
        ],
        rng.normal([2], f64),
        rng.normal([2], f64),
        zeros([length, 2], f64),
      )
      const without = (steps: readonly Step[]): unknown => steps.map(({ kernel, loop }) => (loop ? [kernel, without(loop.steps)] : kernel))
      return [without(program.steps), program.slots.length]
    }
    expect(shapeOf(10_000)).toEqual(shapeOf(10))
  })

  test('lengths 0, 1, 2 and 3, forwards and backwards, in both types and from one to the other', () => {
    for (const length of [0, 1, 2, 3])
      for (const reverse of [false, true])
        for (const dtype of ['float32', 'float64'] as const) {
          const other = dtype === 'float32' ? 'float64' : 'float32'
          const f = (h: Tensor, xs: Tensor, w: Tensor) =>
            scan(
              ({ h, n }: { h: Tensor; n: Tensor }, x: Tensor) => {
                const next = h.mul(w.cast(dtype)).add(x.cast(dtype).sin())
                return [{ h: next, n: n.add(1) }, [next.cast(other), n, next.greater(0), x]] as const
              },
              { h, n: tensor(3, { dtype: 'int32' }) },
              xs,
              { reverse },
            )
          const flat = (h: Tensor, xs: Tensor, w: Tensor) => {
            const [{ h: last, n }, ys] = f(h, xs, w)
            return [
              last,
              n,
              ...ys,
              ...grad((h: Tensor, w: Tensor) => f(h, xs, w)[0].h.square().sum().cast('float64'), { argnums: [0, 1] })(h, w),
            ]
          }
          same(flat as never, rng.normal([3], { dtype }), rng.normal([length, 3], { dtype: other }), rng.normal([3], { dtype: other }))
        }
  })

  test('loops in loops, with what is closed over at every depth, and derivatives of both orders', () => {
    const f = (w: Tensor, v: Tensor, xs: Tensor): Tensor =>
      scan(
        (h: Tensor, row: Tensor) => {
          const [inner, ys] = scan((c: Tensor, x: Tensor) => [c.mul(w).add(x).tanh().add(h.mul(v)), c.mul(x)] as const, h, row, {
            reverse: true,
          })
          return [inner, ys.sum(0).mul(v)] as const
        },
        w.mul(0.3),
        xs,
      )[1].sum()
    const given = [rng.normal([2], f64), rng.normal([2], f64), rng.normal([3, 4, 2], f64)] as const
    const first = grad(f, { argnums: [0, 1, 2] })
    const second = grad(
      (w: Tensor, v: Tensor, xs: Tensor) => first(w, v, xs).reduce((sum, g) => sum.add(g.square().sum()), zeros([], f64)),
      { argnums: [0, 1, 2] },
    )
    same(
      (...x) => [
        f(...(x as [Tensor, Tensor, Tensor])),
        first(...(x as [Tensor, Tensor, Tensor])),
        second(...(x as [Tensor, Tensor, Tensor])),
      ],
      ...given,
    )
  })

  test('carries that are exchanged, handed on as they came, or not read', () => {
    const f = (a: Tensor, b: Tensor, xs: Tensor) => {
      const [last, ys] = scan(
        ([a, b, c, d]: [Tensor, Tensor, Tensor, Tensor], x: Tensor) =>
          [[b, a, c, d.add(x)] as [Tensor, Tensor, Tensor, Tensor], a.mul(c).add(x)] as const,
        [a, b, a, b] as [Tensor, Tensor, Tensor, Tensor],
        xs,
      )
      return [last[0], last[1], last[2], ys]
    }
    same(f as never, rng.normal([3], f64), rng.normal([3], f64), rng.normal([5, 3], f64))
  })

  test.each(present)('draws in a body: the numbers of the eager loop, others at each call, on %s', (engine) =>
    using(engine, () => {
      const run = (random: Random) => (h: Tensor, xs: Tensor) =>
        scan((h: Tensor, x: Tensor) => [h.add(random.normal([2])).mul(x), h.mul(random.uniform([2]))] as const, h, xs)[1]
      const [eager, own] = [new Random(3), new Random(3)]
      const compiled = compile(run(own))
      const [h, rows] = [zeros([2]), rng.normal([4, 2])]
      for (let call = 0; call < 3; call++) expect(farthest(compiled(h, rows).data, run(eager)(h, rows).data, 1e-6)).toBe('')
    }),
  )

  test.each(present)('donated arguments, and calls beside the main thread, on %s', (engine) =>
    during(engine, async () => {
      const f = (h: Tensor, w: Tensor, xs: Tensor) => {
        const [last, ys] = scan((h: Tensor, x: Tensor) => [h.matmul(w).add(x).tanh(), h.sum()] as const, h, xs)
        return [last, w.sub(last.mean().mul(0.1)), ys] as const
      }
      const fresh = () => [zeros([2, 3]), rng.normal([3, 3]), rng.normal([20, 2, 3])] as const
      const given = fresh()
      const wanted = f(...given).map((y) => y.data)
      const copies = given.map((x) => tensor(x.data.slice(), { shape: x.shape })) as unknown as [Tensor, Tensor, Tensor]
      const donating = compile(f, { donate: [0, 1] })(...copies)
      for (const [i, y] of donating.entries()) expect(farthest(y.data, wanted[i] ?? [], 1e-5)).toBe('')
      const aside = await compile(f).async(...given)
      for (const [i, y] of aside.entries()) expect(farthest(y.data, wanted[i] ?? [], 1e-5)).toBe('')
    }),
  )

  test('parameters that a body closes over are read at each call', () => {
    const model = new nn.Linear(2, 2, { rng: new Random(1) })
    for (const engine of present)
      using(engine, () => {
        const f = (xs: Tensor) => scan((h: Tensor, x: Tensor) => [model.forward(h.add(x)).tanh(), undefined] as const, zeros([1, 2]), xs)[0]
        const compiled = compile(f)
        const rows = rng.normal([7, 1, 2])
        for (let call = 0; call < 2; call++) {
          expect(farthest(compiled(rows).data, f(rows).data, 1e-5)).toBe('')
          model.weight.assign(rng.normal([2, 2]))
        }
      })
  })

  test.each(present)('a loop that stops half way leaves the state as it was, on %s', (name) =>
    using(name, () => {
      const layout = new StateLayout()
      layout.add('h', [2], 'float64')
      const table = tensor([1, 2, 3, 4, 5, 6], { shape: [3, 2], dtype: 'float64' })
      const plan = compilePlan([{ name: 'i', shape: [4], dtype: 'int32' }], layout, { dtype: 'float64' }, (r) => {
        const next = (h: Tensor, i: Tensor) => [h.mul(0.5).add(gather(table, i.reshape([1])).reshape([2])), undefined] as const
        r.assign(0, scan(next, r.state(0), r.input(0))[0])
      })
      const state = engine().createState(layout.bytes, [])
      state.write(0, Float64Array.of(8, 8))
      const values = () => {
        const out = new Float64Array(2)
        state.read(0, out)
        return Array.from(out)
      }
      expect(codeOf(() => plan.run(state, [Int32Array.of(0, 1, 9, 2)]))).toBe('ERR_INDEX')
      expect(values()).toEqual([8, 8])
      plan.run(state, [Int32Array.of(0, 0, 0, 2)])
      expect(values()).toEqual([0.5 + 0.125 + 0.25 + 0.5 + 5, 0.5 + 0.25 + 0.5 + 1 + 6])
    }),
  )

  test('a full batch is not cut across a loop over its samples', () => {
    const specs = [{ name: 'x', shape: [6, 2], dtype: 'float64' as const }]
    let value: Tensor | undefined
    const graph = record(specs, new StateLayout(), (r) => {
      const x = r.input(0)
      value = x.add(scan((sum: Tensor, row: Tensor) => [sum.add(row), sum.add(row)] as const, zeros([2], f64), x)[1])
      r.report(0, value)
    })
    expect(rowsApart(graph, new Set([0]), [graph.effects[0]?.value as never])).toBe(false)
  })

  test('a table of the calls shows loops, their windows and what left them', () => {
    const f = compile((...x: Tensor[]) => grad((w: Tensor) => rnn(w, x[1] as Tensor, x[2] as Tensor, x[3] as Tensor).sum())(x[0] as Tensor))
    const text = f.describe(...weights, xs)
    expect(text).toMatch(/loop +5 times/)
    expect(text).toMatch(/↓/)
    expect(text).toMatch(/↑/)
    expect(text).toMatch(/loop in backward; /)
    expect(f.profile(...weights, xs).calls.some(({ kernel }) => kernel === 'loop')).toBe(true)
  })
})
