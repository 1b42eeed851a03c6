/** Anomalies: the first operation that made NaN or Infinity is named, with the line of this file that called it. */

import { describe, expect, test } from 'vitest'
import { detectAnomaly, grad, nn, Random, type Tensor, tensor, type WengertError } from '../../lib/index.js'

function caught(body: () => unknown): WengertError & { actual: { op: string; by: string; phase: string; value: string; line: string } } {
  try {
    detectAnomaly(body)
  } catch (error) {
    return error as never
  }
  throw new Error('nothing was found')
}

/** The line of this file on which it is called. */
const here = (): number => Number((new Error().stack ?? '').split('\n')[2]?.match(/:(\d+):\d+\)?$/)?.[1])
const lineOf = (text: string): number => Number(text.match(/anomaly\.test\.ts:(\d+):\d+/)?.[1])

describe('detectAnomaly', () => {
  test('gives the value where all is well', () => {
    expect(detectAnomaly(() => grad((x: Tensor) => x.log().sum())(tensor([1, 2])).toArray())).toEqual([1, 0.5])
  })

  test('names the forward operation, the element and the line', () => {
    let line = 0
    const error = caught(() => {
      const a = tensor([[4, 1], [2, -3]]) // biome-ignore format: a matrix
      line = here() + 1
      const b = a.log()
      return b.sum()
    })
    expect(error.code).toBe('ERR_ANOMALY')
    expect(error.message).toMatch(/expected finite values, got NaN at \[1, 1\] made by log, from finite operands/)
    expect(error.actual).toMatchObject({ op: 'log', phase: 'forward', value: 'NaN' })
    expect(lineOf(error.actual.line)).toBe(line)
  })

  test('names the first of several, and Infinity too', () => {
    expect(caught(() => tensor([1, 0]).reciprocal().sub(Infinity).exp()).actual).toMatchObject({ op: 'reciprocal', value: 'Infinity' })
  })

  test('in the backward sweep: the forward operation and its own line', () => {
    let line = 0
    const f = (x: Tensor) => {
      const doubled = x.mul(2)
      line = here() + 1
      const root = doubled.sqrt()
      return root.sum()
    }
    const error = caught(() => grad(f)(tensor([1, 0])))
    expect(error.actual).toMatchObject({ op: 'sqrt', by: 'div', phase: 'backward', value: 'Infinity' })
    expect(error.message).toMatch(/made by div in the backward pass of sqrt/)
    expect(lineOf(error.actual.line)).toBe(line)
  })

  test('a value that came in bad is told apart', () => {
    expect(caught(() => tensor([1, NaN]).add(1)).message).toMatch(/made by add, from operand 0, which held NaN before/)
  })

  test('a layer is named', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2, { rng: new Random(1) }), new nn.ReLU())
    expect(caught(() => model.forward(tensor([[1, Infinity]]))).message).toMatch(/made by matmul.*layer 0/)
  })

  test('stops watching afterwards, after an error too', () => {
    caught(() => tensor(-1).log())
    expect(tensor(-1).log().item()).toBeNaN()
  })

  test('refuses an asynchronous body, and no function', () => {
    expect(() => detectAnomaly(async () => 1)).toThrow(/returns a promise/)
    expect(() => detectAnomaly(3 as never)).toThrow(/expected a function, got 3/)
  })
})
