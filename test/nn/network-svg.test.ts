/** Networks as drawings: every node and weight of a small one, the ends of a large one, boxes for what has no weights between nodes. */

import { describe, expect, test } from 'vitest'
import { nn, Random, type Tensor, tensor } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'

const count = (svg: string, what: RegExp) => [...svg.matchAll(what)].length
const titles = (svg: string) => [...svg.matchAll(/<title>(.*?)<\/title>/g)].map(([, text]) => text)

describe('toSvg', () => {
  const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Sigmoid(), new nn.Linear(2, 1))
  model.loadStateDict({
    '0.weight': tensor([[0.15, 0.2], [0.25, -0.3]]), // biome-ignore format: a matrix
    '0.bias': tensor([0.35, 0.36]),
    '2.weight': tensor([[0.4, 0.45]]),
    '2.bias': tensor([0.6]),
  })

  test('a small network shows each node, weight and bias', () => {
    const svg = model.toSvg()
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" [^>]*>\n<title>Sequential of 3<\/title>/)
    expect([count(svg, /<line /g), count(svg, /stroke="#1f2933"/g)]).toEqual([6, 5])
    expect(titles(svg)).toEqual([
      'Sequential of 3',
      'w₁₁ = 0.15',
      'w₁₂ = 0.2',
      'w₂₁ = 0.25',
      'w₂₂ = -0.3',
      'w₁₁ = 0.4',
      'w₁₂ = 0.45',
      'x₁',
      'x₂',
      'a₁⁽¹⁾, b = 0.35',
      'a₂⁽¹⁾, b = 0.36',
      'ŷ₁, b = 0.6',
    ])
    for (const text of ['>-0.3<', '>0.45<', '>b 0.35<', '>x₁<', '>ŷ₁<', '>Linear 2 → 2<', '>Sigmoid<']) expect(svg).toContain(text)
    expect(count(svg, /#dc2626/g)).toBe(1)
  })

  test('with a sample its activations stand in the nodes', () => {
    const svg = model.toSvg({ sample: [0.05, 0.1] })
    const hidden = model.layers.slice(0, 2).reduce((t, layer) => layer.forward(t), tensor([[0.05, 0.1]]))
    const values = [0.05, 0.1, ...hidden.data, model.predict([0.05, 0.1]).item()].map((v) => Number(v.toPrecision(3)))
    expect([...svg.matchAll(/class="value">(.*?)</g)].map(([, text]) => Number(text))).toEqual(values)
    // As in use: nothing is dropped, and the flags stay as they were.
    const dropping = new nn.Sequential(new nn.Linear(2, 3), new nn.Dropout(0.9), new nn.BatchNorm1d(3))
    expect(dropping.toSvg({ sample: [1, 2] })).toBe(dropping.toSvg({ sample: [1, 2] }))
    expect(dropping.modules().every((m) => m.training)).toBe(true)
  })

  test('large layers are abridged', () => {
    const large = new nn.Sequential(new nn.Linear(784, 128), new nn.ReLU(), new nn.Linear(128, 10)).toSvg()
    expect(count(large, /⋮/g)).toBe(2)
    expect(large).toContain('775 more')
    expect(count(large, /<line /g)).toBe(9 * 9 + 9 * 10)
    expect(large.length).toBeLessThan(60_000)
    const small = new nn.Linear(784, 10).toSvg({ maxNodes: 4 })
    expect([count(small, /⋮/g), count(small, /<line /g)]).toEqual([2, 9])
  })

  test('other layers are boxes and captions, a module of one’s own too', () => {
    const rng = new Random(1)
    const svg = new nn.Sequential(
      new nn.Embedding(5, 3, { rng }),
      new nn.Flatten(),
      new nn.Linear(6, 4, { rng }),
      new nn.LayerNorm(4),
      new nn.Residual(new nn.Linear(4, 4, { rng })),
      new nn.Sequential(new nn.Linear(4, 2, { rng }), new nn.Softmax()),
    ).toSvg({ sample: [1, 4] })
    expect(count(svg, /<rect x=/g)).toBe(3)
    for (const text of ['Embedding 5 × 3', '>Flatten<', '>Residual<', '>LayerNorm 4<', '>Softmax<']) expect(svg).toContain(text)
    class Own extends nn.Module {
      layer = new nn.Linear(2, 2)
      forward(x: Tensor): Tensor {
        return this.layer.forward(x).relu()
      }
      override describe(): string {
        return 'Own <&>'
      }
    }
    expect(new Own().toSvg()).toContain('Own &lt;&amp;&gt;')
    class Doubled extends nn.Linear {
      override forward(x: Tensor): Tensor {
        return super.forward(x).mul(2)
      }
    }
    expect(count(new Doubled(2, 2).toSvg(), /<line /g)).toBe(1)
  })

  test('what does not fit is refused', () => {
    expect(codeOf(() => model.toSvg({ sample: [1, 2, 3] }))).toBe('ERR_SHAPE')
    expect(codeOf(() => model.toSvg({ maxNodes: 2 }))).toBe('ERR_RANGE')
    expect(codeOf(() => model.toSvg({ samples: [1, 2] } as object))).toBe('ERR_OPTION')
  })
})
