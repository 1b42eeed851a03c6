/** What flows back through pooling stays as small as what was pooled, and computes what it computes op by op. */

import { describe, expect, test } from 'vitest'
import { compile, nn, Random, type Tensor, valueAndGrad } from '../../lib/index.js'
import { describeProgram } from '../../lib/plan/describe.js'
import { lowerFunction } from '../../lib/plan/plan.js'
import { StateLayout } from '../../lib/plan/state-layout.js'
import { announce, present, using } from '../support/engines.js'
import { farthest, tolerances } from '../support/tolerance.js'

/** The kernels of a program that gives a function's gradients by x and w. */
function programOf(x: Tensor, w: Tensor, f: (x: Tensor, w: Tensor) => Tensor) {
  const inputs = [x, w, x, w].map(({ shape, dtype }, i) => ({ name: `${i}`, shape, dtype, writable: i > 1 }))
  const options = { dtype: x.dtype as 'float32' | 'float64' }
  return lowerFunction(inputs, new StateLayout(), options, (r) => {
    const [, gradients] = valueAndGrad(f, { argnums: [0, 1] })(r.input(0), r.input(1))
    for (const [i, g] of (gradients as Tensor[]).entries()) r.output(2 + i, g)
  }).program
}

const rng = new Random(5)
const block =
  (window: number, stride = window, padding = 1, bias?: Tensor) =>
  (x: Tensor, w: Tensor): Tensor =>
    x
      .conv2d(w, { padding, ...(bias && { bias }) })
      .relu()
      .maxPool2d(window, { stride })
      .square()
      .sum()

describe('pooled gradients', () => {
  const x = rng.normal([2, 32, 9, 8])
  const w = rng.normal([16, 32, 3, 3])

  test('take the kernels that skip zeros, and no array of what was pooled is written in the backward pass', () => {
    const program = programOf(x, w, block(2))
    const kernels = program.steps.map(({ kernel }) => kernel)
    expect(kernels.filter((kernel) => kernel.startsWith('conv'))).toEqual(['conv', 'convInputPooled', 'convWeightPooled'])
    expect(kernels).not.toContain('poolPut')
  })

  test('describe says what the kernels do, and how many operations they are', () => {
    const text = describeProgram(programOf(x, w, block(2)))
    const lineOf = (name: string) => text.split('\n').find((line) => line.includes(`${name} `)) ?? ''
    expect(lineOf('conv')).toContain('2 of 9 × 8 × 32 ∗ 3 × 3 → 9 × 8 × 16, padding 1 × 1')
    expect(lineOf('conv')).toContain((2 * 2 * 9 * 8 * 16 * 9 * 32).toLocaleString('en'))
    expect(lineOf('convWeightPooled')).toContain('at the largest of windows 2 × 2')
    expect(lineOf('convWeightPooled')).toContain((2 * 2 * 4 * 4 * 16 * 9 * 32).toLocaleString('en'))
  })

  test('windows that lie over each other, or few channels, keep the dense kernels', () => {
    const dense = (f: (x: Tensor, w: Tensor) => Tensor, a = x, b = w) =>
      programOf(a, b, f).steps.every(({ kernel }) => !kernel.endsWith('Pooled'))
    expect(dense(block(3, 2))).toBe(true)
    expect(dense(block(2), rng.normal([2, 1, 9, 8]), rng.normal([16, 1, 3, 3]))).toBe(true)
  })
})

announce('pooled gradients')
for (const name of present) {
  describe(`${name} engine`, () => {
    const sizes: readonly [c: number, d: number, window: number, stride: number, padding: number][] = [
      [17, 3, 2, 2, 1],
      [31, 33, 2, 3, 0],
      [33, 31, 3, 3, 1],
      [16, 1, 2, 2, 1],
      [3, 40, 2, 2, 1],
    ]
    const cases = (['float32', 'float64'] as const).flatMap((dtype) =>
      sizes.map(([c, d, window, stride, padding]) => ({ dtype, c, d, window, stride, padding })),
    )
    test.each(cases)(
      '$dtype: $c → $d channels, windows of $window every $stride, padding $padding',
      ({ dtype, c, d, window, stride, padding }) => {
        using(name, () => {
          const x = rng.normal([2, c, 7, 9]).cast(dtype)
          const w = rng.normal([d, c, 3, 3]).cast(dtype)
          const bias = rng.normal([d]).cast(dtype)
          // Ties: equal rows of the image give equal cells of windows.
          for (let i = 0; i < x.size; i += 2) x.data[i] = 1
          const both = valueAndGrad((x: Tensor, w: Tensor, b: Tensor) => block(window, stride, padding, b)(x, w), {
            argnums: [0, 1, 2],
          })
          const [, eager] = both(x, w, bias)
          const [, replayed] = compile(both)(x, w, bias)
          for (const [i, g] of (replayed as Tensor[]).entries())
            expect(farthest(g.data, ((eager as Tensor[])[i] as Tensor).data, tolerances[dtype].engines)).toBe('')
        })
      },
    )

    // What is not finite times a gradient of 0 is NaN, which no kernel may skip.
    const odd = (['float32', 'float64'] as const).flatMap((dtype) =>
      (['x', 'w', 'edge', 'gradient'] as const).flatMap((where) =>
        [Infinity, -Infinity, Number.NaN].flatMap((value) =>
          ([16, 3] as const).flatMap((channels) =>
            [0, 1].map((rectified) => ({ dtype, where, value, channels, rectified: rectified === 1 })),
          ),
        ),
      ),
    )
    test.each(odd)('$dtype: $value in $where, $channels channels, rectified $rectified', ({ dtype, where, value, channels, rectified }) => {
      using(name, () => {
        const x = rng.normal([2, channels, 7, 9]).cast(dtype)
        const w = rng.normal([20, channels, 3, 3]).cast(dtype)
        const c = rng.normal([2, 20, 3, 4]).cast(dtype)
        if (where === 'x') x.data[3 * 9 + 4] = value
        // The last row and column lie under no window of pooling.
        if (where === 'edge') x.data[6 * 9 + 8] = value
        if (where === 'w') w.data[7] = value
        if (where === 'gradient') c.data[5] = value
        const f = (x: Tensor, w: Tensor) => {
          const y = x.conv2d(w, { padding: 1 })
          return (rectified ? y.relu() : y).maxPool2d(2).mul(c).sum()
        }
        const both = valueAndGrad(f, { argnums: [0, 1] })
        const eager = both(x, w)[1] as Tensor[]
        const replayed = compile(both)(x, w)[1] as Tensor[]
        for (const [i, g] of replayed.entries()) {
          const known = (eager[i] as Tensor).data
          const kinds = (data: ArrayLike<number>) => Array.from(data, (v) => (Number.isFinite(v) ? 0 : v))
          // Which cells of a window carry a NaN that relu lets through is not said, nor whether zeros around the gradient are multiplied.
          const exact = where === 'w' ? name === 'js' && !Number.isNaN(value) : where === 'gradient' || !Number.isNaN(value)
          if (exact) expect(kinds(g.data)).toEqual(kinds(known))
          else expect(g.data.every(Number.isFinite)).toBe(known.every(Number.isFinite))
        }
      })
    })

    test('NaN in a window stays in its gradients', () => {
      using(name, () => {
        const x = rng.normal([1, 16, 4, 4])
        const w = rng.normal([8, 16, 3, 3])
        x.data[5] = Number.NaN
        const gradients = compile(valueAndGrad(block(2), { argnums: [0, 1] }))(x, w)[1] as Tensor[]
        expect(gradients.every((g) => g.data.some(Number.isNaN))).toBe(true)
      })
    })

    test('signals: a network of them learns what it learns op by op', () => {
      using(name, () => {
        const net = new nn.Sequential(new nn.Conv1d(4, 8, 9, { padding: 4, rng }), new nn.ReLU(), new nn.MaxPool1d(4))
        const f = (x: Tensor) => net.forward(x).square().sum()
        const x = rng.normal([2, 4, 37])
        const [, eager] = valueAndGrad(f)(x)
        const [, replayed] = compile(valueAndGrad(f))(x)
        expect(farthest((replayed as Tensor).data, (eager as Tensor).data, tolerances.float32.engines)).toBe('')
      })
    })
  })
}
