/** The printed and drawn tape: Tables 3.1 and 3.2 row by row, and what else a tape shows. */

import { describe, expect, test } from 'vitest'
import { grad, linear, loss, Tape, type Tensor, tensor, trace, valueAndGrad, where } from '../../lib/index.js'

const f64 = { dtype: 'float64' } as const
const running = (x1: Tensor, x2: Tensor) => x1.log().add(x1.mul(x2)).sub(x2.sin())

/** Cells of a printed table: columns stand apart by three spaces or more. */
const cells = (text: string) => text.split('\n').map((line) => line.split(/ {2,}/).map(rounded))
/** Engines may differ in the last digits: numbers are compared to 13 places. */
const rounded = (cell: string) => (/^−?\d+\.\d{8,}$/.test(cell) ? Number(cell.replace('−', '-')).toPrecision(13).replace('-', '−') : cell)
const row = (...columns: string[]) => columns.map(rounded)
const body = (text: string) => cells(text).slice(2)

const primal = [
  ['v₋₁ = x₁', '2'],
  ['v₀ = x₂', '5'],
  ['v₁ = ln v₋₁', '0.6931471805599453'],
  ['v₂ = v₋₁·v₀', '10'],
  ['v₃ = sin v₀', '−0.9589242746631385'],
  ['v₄ = v₁ + v₂', '10.693147180559945'],
  ['v₅ = v₄ − v₃', '11.652071455223084'],
]
const tangents = [
  ['v̇₋₁', '1'],
  ['v̇₀', '0'],
  ['v̇₁ = v̇₋₁/v₋₁', '0.5'],
  ['v̇₂ = v̇₋₁·v₀ + v₋₁·v̇₀', '5'],
  ['v̇₃ = v̇₀·cos v₀', '0'],
  ['v̇₄ = v̇₁ + v̇₂', '5.5'],
  ['v̇₅ = v̇₄ − v̇₃', '5.5'],
]
const adjoints = [
  ['v̄₋₁ = v̄₂·v₀ + v̄₁/v₋₁ = x̄₁', '5.5'],
  ['v̄₀ = v̄₃·cos v₀ + v̄₂·v₋₁ = x̄₂', '1.7163378145367738'],
  ['v̄₁ = v̄₄', '1'],
  ['v̄₂ = v̄₄', '1'],
  ['v̄₃ = −v̄₅', '−1'],
  ['v̄₄ = v̄₅', '1'],
  ['v̄₅ = ȳ', '1'],
]

describe('the running example, ln x₁ + x₁x₂ − sin x₂ at (2, 5)', () => {
  test('the Wengert list', () => {
    expect(cells(trace(running, 2, 5).toString())).toEqual([...primal.map((r) => row(...r)), row('y = v₅', '11.652071455223084')])
  })

  test('Table 3.1: forward mode, seeds (1, 0) and (0, 1)', () => {
    const tape = trace(running, 2, 5)
    const table = tape.forwardTable([1, 0])
    expect(cells(table)[0]).toEqual(['primal trace', 'value', 'tangent trace, seed (ẋ₁, ẋ₂) = (1, 0)', 'value'])
    const last = row('y = v₅', '11.652071455223084', 'ẏ = v̇₅', '5.5')
    expect(body(table)).toEqual([...primal.map((left, i) => row(...left, ...(tangents[i] as string[]))), last])
    expect(tape.forwardTable()).toBe(table)
    const values = body(tape.forwardTable([0, 1])).map((row) => row[3])
    expect(values).toEqual(row('0', '1', '0', '2', '0.28366218546322625', '2', '1.7163378145367738', '1.7163378145367738'))
  })

  test('Table 3.2: reverse mode', () => {
    const table = trace(running, 2, 5).reverseTable()
    expect(cells(table)[0]).toEqual(['primal trace', 'value', 'adjoint trace (read bottom-up)', 'value'])
    expect(body(table)).toEqual(primal.map((left, i) => row(...left, ...(adjoints[i] as string[]))))
  })

  test('columns are aligned: accents take no room', () => {
    for (const table of [trace(running, 2, 5).forwardTable(), trace(running, 2, 5).reverseTable()]) {
      const starts = table.split('\n').map((line) => [...line.replaceAll(/\p{M}/gu, '')].join('').search(/ \S+$/))
      expect(new Set(starts.slice(2)).size).toBe(1)
    }
  })

  test('written in another order, the rows stand the same', () => {
    const other = (x1: Tensor, x2: Tensor) => {
      const sine = x2.sin()
      const product = x1.mul(x2)
      return x1.log().add(product).sub(sine)
    }
    const right = body(trace(other, 2, 5).reverseTable()).map((row) => row[3])
    expect(right.slice(0, 2)).toEqual(row('5.5', '1.7163378145367738'))
    expect(body(trace(other, 2, 5).toString()).length).toBe(6)
  })

  test('float32 values are printed with the digits that they have', () => {
    const tape = trace(running, tensor(2), tensor(5))
    expect(cells(tape.toString())[2]).toEqual(['v₁ = ln v₋₁', '0.6931472'])
  })
})

describe('the worked decomposition (3.43 – 3.44)', () => {
  const f = (x: Tensor) => {
    const a = x.exp()
    const c = a.add(a.square())
    return c.exp().add(c.sin())
  }
  test('values and both derivatives to 1e-12', () => {
    for (const [x, y, slope] of [
      [0, 8.298353525756331, 20.918727787150523],
      [0.5, 77.86615550195194, 555.9719679015084],
    ] as const) {
      const tape = trace(f, x)
      const last = (table: string) => Number(body(table).at(-1)?.[3])
      expect(Math.abs((tape.entries.at(-1)?.output.item() as number) / y - 1)).toBeLessThan(1e-12)
      expect(Math.abs(last(tape.forwardTable()) / slope - 1)).toBeLessThan(1e-12)
      expect(Math.abs((tape.adjoints().values[0]?.item() as number) / slope - 1)).toBeLessThan(1e-12)
    }
  })

  test('the expressions', () => {
    expect(body(trace(f, 0).reverseTable()).map((row) => row[2])).toEqual([
      'v̄₀ = v̄₁·v₁ = x̄',
      'v̄₁ = v̄₃ + v̄₂·v₁·2',
      'v̄₂ = v̄₃',
      'v̄₃ = v̄₅·cos v₃ + v̄₄·v₄',
      'v̄₄ = v̄₆',
      'v̄₅ = v̄₆',
      'v̄₆ = ȳ',
    ])
  })
})

const parameters = {
  W1: tensor([[0.15, 0.2], [0.25, 0.3]], f64), // biome-ignore format: a matrix
  b1: tensor([0.35, 0.35], f64),
  W2: tensor([[0.4, 0.45]], f64),
  b2: tensor([0.6], f64),
}
const x = tensor([[0.05, 0.1]], f64)
const y = tensor([[0.01]], f64)
const cost = (p: typeof parameters, input: Tensor, target: Tensor) =>
  loss.squaredError(linear(linear(input, p.W1, p.b1).sigmoid(), p.W2, p.b2), target)
const step = (p: typeof parameters, input: Tensor, target: Tensor) => {
  const [J, g] = valueAndGrad(cost)(p, input, target)
  return { J, W1: p.W1.sub(g.W1.mul(0.5)), b1: p.b1.sub(g.b1.mul(0.5)), W2: p.W2.sub(g.W2.mul(0.5)), b2: p.b2.sub(g.b2.mul(0.5)) }
}

describe('Example 3.1', () => {
  test('the tape writes backpropagation as the source does', () => {
    const rows = body(trace(cost, parameters, x, y).reverseTable()).map((row) => row[2])
    expect(rows.slice(0, 4)).toEqual(['v̄₋₅ = v̄₁ᵀ·v₋₁ = x̄₁.W1', 'v̄₋₄ = Σ v̄₂ = x̄₁.b1', 'v̄₋₃ = v̄₄ᵀ·v₃ = x̄₁.W2', 'v̄₋₂ = Σ v̄₅ = x̄₁.b2'])
    expect(rows).toContain('v̄₂ = v̄₃ ⊙ v₃ ⊙ (1 − v₃)')
  })

  test('adjoints are the gradients', () => {
    const { values } = trace(cost, parameters, x, y).adjoints()
    const expected = grad(cost)(parameters, x, y) as typeof parameters
    Object.values(expected).forEach((g, i) => {
      expect(values[i]?.toArray()).toEqual(g.toArray())
    })
  })

  test('the whole training step is one list, its results named', () => {
    const tape = trace(step, parameters, x, y)
    expect(tape.toString()).toMatch(/y\.J = v₁₁ +0\.6005049443186\d*\n/)
    expect(tape.names.outputs).toEqual(['y.J', 'y.W1', 'y.b1', 'y.W2', 'y.b2'])
    const svg = tape.toSvg()
    return expect(svg).resolves.toMatch(/^[\s\S]*<svg[\s\S]*v₁₂[\s\S]*<\/svg>/)
  })
})

describe('the drawn graph', () => {
  test('values on the edges, adjoints on request', () => {
    const tape = trace(running, 2, 5)
    const plain = tape.toDot()
    expect(plain).toContain('v₂ = 10')
    expect(plain).not.toContain('\u0304')
    const both = tape.toDot({ adjoints: true })
    for (const text of ['x̄₁ = 5.5', 'v̄₋₁ += 5', 'v̄₋₁ += 0.5', 'v̄₃ = −1', 'v̄₅ = 1']) expect(both).toContain(text)
  })

  test('with tangents in a direction (Figure 3.13), beside adjoints where both are asked for', () => {
    const tape = trace(running, 2, 5)
    const first = tape.toDot({ tangents: true })
    for (const text of ['ẋ₁ = 1', 'ẋ₂ = 0', 'v̇₋₁ = 1', 'v̇₁ = 0.5', 'v̇₂ = 5', 'v̇₃ = 0', 'v̇₄ = 5.5', 'v̇₅ = 5.5'])
      expect(first).toContain(text.normalize('NFC'))
    expect(first).not.toContain('\u0304')
    expect(tape.toDot({ tangents: [0, 1] })).toContain('v̇₅ = 1.716'.normalize('NFC'))
    const both = tape.toDot({ tangents: true, adjoints: true })
    for (const text of ['v̇₅ = 5.5', 'v̄₅ = 1', 'x̄₁ = 5.5']) expect(both).toContain(text.normalize('NFC'))
    expect(() => tape.toDot({ tangents: [1] })).toThrow('toDot: expected 2 seeds')
  })

  test('Graphviz lays it out', async () => {
    const svg = await trace(running, 2, 5).toSvg({ adjoints: true })
    expect(svg).toMatch(/<svg/)
    for (const symbol of ['ln', 'sin', '×', '+', '−']) expect(svg).toContain(`>${symbol}</text>`)
  })

  test('large tensors show their shape; text is escaped', () => {
    const dot = trace((a: Tensor) => where(a.less(0), a, 2).sum(), tensor(new Float64Array(100))).toDot()
    expect(dot).toContain('v₀ [100]')
    expect(dot).toContain('label="< 0"')
  })
})

describe('dead paths', () => {
  const dead = (a: Tensor, b: Tensor) => a.mul(2).add(b.floor().exp()).add(b.greater(0).cast('float64'))
  test('the sweep visits no entry through which no derivative comes', () => {
    const tape = trace(dead, 3, 0.5)
    const visited = tape.adjoints().visited.map((i) => tape.entries[i]?.primitive?.name ?? tape.names.inputs[i])
    expect(visited).toEqual(['add', 'add', 'mul', 'x₁'])
    expect(
      body(tape.reverseTable())
        .find((row) => row[2]?.startsWith('v̄₀'))
        ?.slice(2),
    ).toEqual(['v̄₀ = 0 = x̄₂', '0'])
    expect(grad(dead, { argnums: [0, 1] })(tensor(3), tensor(0.5)).map((g: Tensor) => g.item())).toEqual([2, 0])
  })

  test('nor one that no output depends on', () => {
    const tape = trace((a: Tensor) => {
      a.sin().exp()
      return a.square()
    }, 3)
    expect(tape.adjoints().visited.map((i) => tape.entries[i]?.primitive?.name)).toEqual(['square', undefined])
  })

  test('an output without a derivative is not walked', () => {
    expect(trace((a: Tensor) => a.round(), 3).adjoints().visited).toEqual([])
  })
})

describe('what a tape takes', () => {
  test('trees as inputs and results; several outputs with seeds of their own', () => {
    const tape = trace((p: { a: Tensor; b: Tensor }) => [p.a.mul(p.b), p.a.add(p.b)], { a: tensor([1, 2], f64), b: tensor([3, 4], f64) })
    expect(tape.names).toEqual({ inputs: ['x.a', 'x.b'], outputs: ['y₁', 'y₂'] })
    expect(tape.adjoints([[1, 0], 10]).values[0]?.toArray()).toEqual([13, 10])
    expect(tape).toBeInstanceOf(Tape)
  })

  test('constants are named and listed below', () => {
    const text = trace((a: Tensor) => a.mul(tensor([1, 2, 3], f64)).sum(), tensor([1, 1, 1], f64)).reverseTable()
    expect(text).toContain('v₁ = v₀ ⊙ c₁')
    expect(text.split('\n').at(-1)).toBe('c₁: a constant, float64 [3]')
  })

  test('a rule of the user’s own keeps it', async () => {
    const { customGradient } = await import('../../lib/index.js')
    const clipped = customGradient((a) => [a, (g) => g.clip(-1, 1)])
    const tape = trace((a: Tensor) => clipped(a).mul(5), 2)
    expect(tape.adjoints().values[0]?.item()).toBe(1)
    expect(tape.reverseTable()).toContain('v̄₀ = ∂custom(v₀)·v̄₁')
  })

  test('misuse is refused by name', () => {
    expect(() => trace(3 as never, 1)).toThrow(/trace: expected a function, got 3/)
    expect(() => trace(running, 1, 'two')).toThrow(/input 1/)
    expect(() => trace(() => 3, 1)).toThrow(/expected the function to return a tensor/)
    expect(() => trace(running, 2, 5).forwardTable([1])).toThrow(/forwardTable: expected 2 seeds/)
    expect(() => trace((a: Tensor) => a, tensor([1, 2], f64)).forwardTable([[1, 2, 3]])).toThrow(
      /expected a seed of shape \[2\], got \[3\]/,
    )
    expect(() => trace(running, 2, 5).toDot({ adjoint: true } as never)).toThrow(/did you mean 'adjoints'/)
  })
})
