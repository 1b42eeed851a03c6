/** Values that are computed again: memory is saved, and no bit changes. */

import { afterEach, describe, expect, it, test } from 'vitest'
import {
  add,
  compile as compiled,
  gelu,
  mean,
  mul,
  nn,
  Random,
  rsqrt,
  silu,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  valueAndGrad,
} from '../../lib/index.js'
import { worth } from '../../lib/plan/recompute.js'
import { announce, present, using } from '../support/engines.js'
import { floats } from '../support/models.js'
import { randomProgram } from '../support/random-programs.js'
import { programOf, replay } from '../support/replay.js'

announce('values computed again')

const usual = { ...worth }
afterEach(() => {
  Object.assign(worth, usual)
})
const never = <T>(run: () => T): T => {
  Object.assign(worth, { leastBytes: Number.POSITIVE_INFINITY })
  const result = run()
  Object.assign(worth, usual)
  return result
}

/** Blocks as a transformer has them: a normalisation, and a hidden layer that is four times as wide, beside it. */
function blocks(x: Tensor, weights: readonly Tensor[], activation: (x: Tensor) => Tensor): Tensor {
  for (let i = 0; i < weights.length; i += 2) {
    const [into, out] = weights.slice(i, i + 2) as [Tensor, Tensor]
    const centred = sub(x, mean(x, -1, { keepDims: true }))
    const normal = mul(centred, rsqrt(add(mean(square(centred), -1, { keepDims: true }), 1e-5)))
    x = add(normal, activation(add(normal.matmul(into), 0.1)).matmul(out))
  }
  return sum(square(x))
}

const width = 16
const made = (dtype: 'float32' | 'float64', layers = 4, rows = 4096) => {
  const rng = new Random(1)
  const x = rng.normal([rows, width * 4], { dtype })
  const weights = Array.from({ length: 2 * layers }, (_, i) =>
    mul(rng.normal(i % 2 ? [width * 16, width * 4] : [width * 4, width * 16], { dtype }), 0.1),
  )
  return { x, weights }
}
const gradients =
  (activation: (x: Tensor) => Tensor) =>
  (x: Tensor, ...weights: Tensor[]): Tensor[] => {
    const [value, parts] = valueAndGrad((...ws: Tensor[]) => blocks(x, ws, activation), { argnums: weights.map((_, i) => i) })(...weights)
    return [value as Tensor, ...(parts as unknown as Tensor[])]
  }

describe('a network of blocks', () => {
  const arenaOf = (activation: (x: Tensor) => Tensor, dtype: 'float32' | 'float64' = 'float32') => {
    const { x, weights } = made(dtype)
    const inputs = [x, ...weights]
    return programOf(gradients(activation), inputs, [tensor(0, { dtype }), ...weights], dtype).program.arenaBytes
  }

  it('keeps of a wide layer one array until the backward pass, and not what gelu or silu makes of it', () => {
    for (const activation of [gelu, silu]) expect(arenaOf(activation)).toBeLessThan(0.6 * never(() => arenaOf(activation)))
    // Kept where a cheap operation has nothing to be made of again: tanh is its own derivative.
    expect(arenaOf((x) => x.tanh())).toBeGreaterThan(0.8 * never(() => arenaOf((x) => x.tanh())))
  })

  it('does not compute again what takes long', () => {
    expect(arenaOf(gelu, 'float64')).toBeGreaterThan(2.2 * arenaOf(gelu))
    expect(arenaOf((x) => mul(x, x.sin()))).toBeGreaterThan(1.15 * arenaOf(gelu))
  })

  test.each(present)('%s: the bits of the eager way', (engine) => {
    using(engine, () => {
      for (const activation of [gelu, silu]) {
        const { x, weights } = made('float32', 2, 64)
        Object.assign(worth, { leastBytes: 1 << 12 })
        const eager = gradients(activation)(x, ...weights)
        const replayed = compiled(gradients(activation))(x, ...weights) as Tensor[]
        eager.forEach((y, i) => {
          expect(replayed[i]?.data).toEqual(y.data)
        })
      }
    })
  })

  test.each(present)('%s: an encoder trains to the same bits', async (engine) => {
    const { MBSGD, loss } = await import('../../lib/index.js')
    await using(engine, async () => {
      const train = async () => {
        const rng = new Random(2)
        const layer = new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 32, activation: 'gelu', dropout: 0.1, rng })
        const model = new nn.Sequential(new nn.TransformerEncoder(layer, 2), new nn.MeanOverTime(), new nn.Linear(8, 3, { rng }))
        const trainer = new MBSGD(model, { loss: loss.crossEntropy, batchSize: 4, learningRate: 0.1 })
        await trainer.fit({ x: new Random(3).normal([8, 6, 8]), y: [0, 1, 2, 0, 1, 2, 0, 1] }, { epochs: 3, seed: 1 })
        return model.parameters().map(({ data }) => Array.from(data))
      }
      Object.assign(worth, { leastBytes: 1, farApart: 1 })
      const again = await train()
      Object.assign(worth, { leastBytes: Number.POSITIVE_INFINITY })
      expect(again).toEqual(await train())
    })
  })
})

test.each(floats)('programs at random, of which all that can be is computed again: the same bits, %s', { timeout: 240_000 }, (dtype) => {
  for (let number = 0; number < 150; number++) {
    const program = randomProgram(number, dtype)
    const like = program.results(...program.inputs)
    const replayed = () => replay(program.results, program.inputs, like, dtype).map(({ data }) => data)
    for (const engine of present) {
      using(engine, () => {
        const kept = never(() => replayed())
        Object.assign(worth, { leastBytes: 1, farApart: 1 })
        const again = replayed()
        Object.assign(worth, usual)
        expect([number, engine, again]).toEqual([number, engine, kept])
      })
    }
  }
})
