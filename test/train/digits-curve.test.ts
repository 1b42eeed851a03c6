/** Real digits, twenty epochs: the cost curve is PyTorch's, for the same network, start, rate and order of samples. */

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loss, MBSGD, nn, tensor } from '../../lib/index.js'
import { announce, present, using } from '../support/engines.js'
import { golden } from '../support/golden.js'

const file = golden<{ rows: number; batch: number; rate: number; costs: number[] }>('digits-curve')
announce('digits curve')

/** As the script that made the golden values: numbers that both languages make alike. */
const pattern = (n: number, factor: number, modulus: number, scale: number) =>
  Array.from({ length: n }, (_, i) => (((i * factor) % modulus) - Math.floor(modulus / 2)) / scale)

describe.each(present)('on %s', (engine) => {
  test('the cost of every epoch is within 1e-3 of PyTorch’s', async () => {
    const [, ...lines] = readFileSync(new URL('../../examples/data/digits.csv', import.meta.url), 'utf8')
      .trim()
      .split('\n')
    const rows = lines.slice(0, file.rows).map((line) => line.split(',').map(Number))
    const x = rows.map((row) => row.slice(0, 64).map((pixel) => pixel / 16))
    const y = rows.map((row) => row[64] as number)
    const model = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 10))
    const start = [pattern(2048, 7919, 257, 1024), pattern(32, 31, 61, 512), pattern(320, 6151, 251, 512), pattern(10, 7, 11, 256)]
    model.parameters().forEach((p, i) => {
      p.assign(tensor(start[i] as number[], { shape: p.shape }))
    })
    const trainer = new MBSGD(model, { loss: loss.crossEntropy, learningRate: file.rate, batchSize: file.batch })
    const { epochs } = await using(engine, () => trainer.fit({ x, y }, { epochs: file.costs.length, seed: file.seed }))
    epochs.forEach(({ cost }, i) => {
      expect(Math.abs(cost - (file.costs[i] as number)), `epoch ${i + 1}`).toBeLessThan(1e-3 * (file.costs[i] as number))
    })
    expect(epochs.at(-1)?.cost).toBeLessThan((epochs[0]?.cost ?? 0) / 10)
  })
})
