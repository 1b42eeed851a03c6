/** The checker itself: it passes what is right, fails what is wrong, and names the culprit. */

import { describe, expect, test } from 'vitest'
import { checkGradients, customGradient, Random, sin, type Tensor, tensor } from '../../lib/index.js'

const f64 = { dtype: 'float64' } as const
const rng = new Random(7)

describe('checkGradients', () => {
  test('passes right derivatives, in both modes, of trees and of several results', () => {
    const f = (p: { W: Tensor; b: Tensor }, x: Tensor) => [x.matmul(p.W).add(p.b).tanh(), p.W.square().sum()]
    const p = { W: rng.normal([3, 2], f64), b: rng.normal([2], f64) }
    const report = checkGradients(f, [p, rng.normal([4, 3], f64)], { perElement: true })
    expect(report.ok).toBe(true)
    expect(report.worst.error).toBeLessThan(1e-7)
    // 3 directions and 6 + 2 + 12 elements, each with 9 forward comparisons and one in reverse
    expect(report.checks).toBe((3 + 20) * 10)
    expect(String(report)).toMatch(/^checkGradients: ok, 230 checks in forward and reverse mode; worst: .* \(tolerance 0\.000001\)$/)
  })

  test('fails a wrong rule and names the element, its value and what was expected', () => {
    const wrong = customGradient((x: Tensor) => [x.square(), (g: Tensor) => g.mul(x).mul(tensor([2, 2, 2.5], f64))])
    const report = checkGradients((a: Tensor, b: Tensor) => wrong(b).mul(a), [tensor([1, 1, 1], f64), tensor([1, 2, 3], f64)])
    expect(report.ok).toBe(false)
    expect(report.worst).toMatchObject({ input: 1, path: '', element: [2] })
    expect(report.worst.value / report.worst.expected).toBeCloseTo(7.5 / 6, 6)
    expect(report.toString()).toMatch(/FAILED, .*input 1 at \[2\]/)
  })

  test('a wrong rule that only reverse mode uses is found', () => {
    const bad = customGradient((x: Tensor) => [x.exp(), (g: Tensor) => g])
    expect(checkGradients((x: Tensor) => bad(x), [0.5]).ok).toBe(false)
  })

  test('names the way into a tree', () => {
    const wrong = customGradient((x: Tensor) => [x.square(), (g: Tensor) => g.mul(x)])
    const { worst } = checkGradients(
      (p: { a: Tensor; deep: Tensor[] }) => p.a.add(wrong(p.deep[0] as Tensor)),
      [{ a: tensor(1, f64), deep: [tensor(2, f64)] }],
    )
    expect(worst).toMatchObject({ input: 0, path: '.deep.0', element: [] })
  })

  test('scales with the function: tiny derivatives are held to the same standard', () => {
    const right = (x: Tensor) => sin(x).mul(1e-9)
    const wrong = customGradient((x: Tensor) => [x.sin().mul(1e-9), (g: Tensor) => g.mul(x.cos()).mul(1.01e-9)])
    const x = [tensor([0.3, 1.1], f64)]
    expect(checkGradients(right, x).ok).toBe(true)
    expect(checkGradients(wrong, x).ok).toBe(false)
  })

  test('NaN is never right', () => {
    expect(checkGradients((x: Tensor) => x.sqrt(), [-1]).ok).toBe(false)
  })

  test('integer inputs are held fixed', () => {
    const labels = tensor([2, 0], { dtype: 'int32' })
    expect(checkGradients((x: Tensor, i: Tensor) => x.gather(i).sin(), [tensor([1, 2, 3], f64), labels]).ok).toBe(true)
  })

  test('refuses float32, with the remedy', () => {
    expect(() => checkGradients((x: Tensor) => x, [tensor([1])])).toThrow(
      /expected float64 inputs, got float32 as input 0.*cast\('float64'\)/,
    )
    expect(() => checkGradients((x: Tensor) => x.cast('float32'), [1])).toThrow(/float64 tensors, got float32/)
  })

  test('misuse is refused by name', () => {
    expect(() => checkGradients(1 as never, [])).toThrow(/expected a function/)
    expect(() => checkGradients((x: Tensor) => x, tensor(1) as never)).toThrow(/expected an array of inputs/)
    expect(() => checkGradients((x: Tensor) => x, ['a'])).toThrow(/as input 0/)
    expect(() => checkGradients((x: Tensor) => x, [1], { perelement: true } as never)).toThrow(/did you mean 'perElement'/)
  })
})
