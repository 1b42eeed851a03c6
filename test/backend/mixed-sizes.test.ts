/**
 * Networks of which some layers are small enough for lines of scalar operations and others are not: what lines leave in
 * registers must be where the kernels between them look, and the other way round. One engine against the other.
 */

import { expect, test } from 'vitest'
import { loss, MBSGD, nn, Random } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('networks of mixed sizes')
const [one, other] = present

const networks = [
  [2, 2, 1],
  [3, 3, 9],
  [9, 3, 2],
  [2, 4, 1],
  [6, 7, 4],
  [6, 7, 4, 3],
  [1, 40, 1],
]

test.skipIf(!other).each(networks.flatMap((widths) => [1, 2, 3].map((batchSize) => ({ widths, batchSize }))))(
  'network $widths, batches of $batchSize',
  async ({ widths, batchSize }) => {
    const trained = async (engine: (typeof present)[number]) => {
      const rng = new Random(1)
      const layers = widths.slice(1).flatMap((n, i) => [new nn.Linear(widths[i] as number, n, { rng, dtype: 'float64' }), new nn.Tanh()])
      const model = new nn.Sequential(...layers)
      const [x, y] = [rng.normal([50, widths[0] as number]), rng.normal([50, widths[widths.length - 1] as number])]
      const trainer = new MBSGD(model, { loss: loss.mse, learningRate: 0.1, batchSize })
      const history = await using(engine, () => trainer.fit({ x, y }, { epochs: 2, seed: 1, validation: { x, y } }))
      return [
        ...history.epochs.flatMap(({ cost, validation }) => [cost, validation?.cost as number]),
        ...model.parameters().flatMap((p) => Array.from(p.data)),
      ]
    }
    expect(farthest(await trained(one as 'js'), await trained(other as 'js'), 1e-10)).toBe('')
  },
)
