import { describe, expect, test } from 'vitest'
import { loadNativeBackend } from '../../lib/backend/native/engine.js'
import { FBGD, loss, MBSGD, nn, optim, Random, setBackend, type Tensor, tensor, type WengertError } from '../../lib/index.js'
import type { ProgramProfile } from '../../lib/train/inspect.js'

const engines: ['js' | 'native'][] = [['js']]
try {
  loadNativeBackend()
  engines.push(['native'])
} catch (error) {
  console.log(`native engine left out: ${(error as Error).message}`)
}

function network(): nn.Sequential {
  const rng = new Random(3)
  return new nn.Sequential(new nn.Linear(6, 5, { rng }), new nn.ReLU(), new nn.Linear(5, 3, { rng }))
}

function data(samples: number) {
  return { x: new Random(1).normal([samples, 6]), y: tensor(Int32Array.from({ length: samples }, (_, i) => i % 3)) }
}

describe.each(engines)('on %s', (name) => {
  test('a description names every call of every program, with sizes, operations and bytes', () => {
    setBackend(name)
    const text = new MBSGD(network(), { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 4 }).describe(data(10))
    const [whole, short] = text.split('\n\n') as [string, string]
    expect(whole).toMatch(/^2 × an epoch:/)
    expect(short).toMatch(/^1 × an epoch:/)
    // [4, 6] · [6, 5]: 2 · 4 · 6 · 5 operations; 24 + 30 + 20 elements.
    expect(whole).toMatch(/matmul +\[4, 6\] · \[6, 5\]ᵀ +240 +296 /)
    expect(short).toContain('[2, 6] · [6, 5]ᵀ')
    expect(whole).toMatch(/float32, \d+ calls, [\d,]+ flops and [\d,]+ bytes a run; arena [\d,]+ bytes, state [\d,]+ bytes$/)
  })

  test('a profile shares out the time of a run and trains nothing', () => {
    setBackend(name)
    const model = network()
    const before = model.parameters().map((p) => [...p.data])
    const trainer = new MBSGD(model, { loss: loss.crossEntropy, optimizer: optim.adam({ learningRate: 0.1 }), batchSize: 8 })
    const profile = trainer.profile(data(16))
    expect(profile.programs.map(({ repeat }) => repeat)).toEqual([2])
    const [{ profile: first }] = profile.programs as [ProgramProfile]
    const { calls, microseconds } = first
    expect(microseconds).toBeGreaterThan(0)
    expect(calls.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 10)
    const product = calls.find(({ kernel }) => kernel === 'matmul')
    expect(product?.flops).toBe(2 * 8 * 6 * 5)
    expect(product?.bytes).toBe(4 * (8 * 6 + 6 * 5 + 8 * 5))
    expect(product?.label).toContain('Linear 6 → 5')
    for (const { gflops, flops, microseconds: own } of calls) if (own > 0) expect(gflops).toBeCloseTo(flops / own / 1000, 10)
    expect(`${profile}`).toContain('GFLOP/s')
    expect(model.parameters().map((p) => [...p.data])).toEqual(before)
    expect([trainer.epoch, trainer.updates]).toEqual([0, 0])
  })

  test('a chunked full batch is several programs; dropout and its counters are seen', () => {
    setBackend(name)
    const model = new nn.Sequential(...network().layers, new nn.Dropout(0.5))
    const trainer = new FBGD(model, { loss: loss.crossEntropy, learningRate: 0.1 })
    const profile = trainer.profile(data(3000))
    expect(profile.programs.map(({ repeat }) => repeat)).toEqual([1, 1, 1, 1])
    expect(profile.programs[0]?.profile.calls.some(({ kernel }) => kernel === 'dropout')).toBe(true)
  })
})

test('a fit goes on after a profile as if there had been none', async () => {
  const costs = await Promise.all(
    [false, true].map(async (look) => {
      const trainer = new MBSGD(network(), { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 4 })
      await trainer.fit(data(12), { epochs: 1, seed: 1 })
      if (look) trainer.profile(data(12))
      return (await trainer.fit(data(12), { epochs: 2, seed: 1 })).last?.cost
    }),
  )
  expect(costs[1]).toBe(costs[0])
})

test('a model that is trained eagerly has no program to look at', () => {
  class Deciding extends nn.Module {
    inner = new nn.Linear(6, 3)
    override forward(x: Tensor): Tensor {
      return this.inner.forward(x.sum().item() > 0 ? x : x.neg())
    }
  }
  const trainer = new MBSGD(new Deciding(), { loss: loss.crossEntropy, learningRate: 0.1, batchSize: 4 })
  const refusal = (work: () => unknown) => {
    try {
      work()
    } catch (error) {
      return (error as WengertError).code
    }
    return undefined
  }
  expect(refusal(() => trainer.describe(data(8)))).toBe('ERR_VALUE_NEEDED')
  expect(refusal(() => trainer.profile(data(8)))).toBe('ERR_VALUE_NEEDED')
})
