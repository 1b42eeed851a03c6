/** Predicting one sample: its values without the batch's axis give those of a batch of one, through every layer. */

import { describe, expect, test } from 'vitest'
import { loss, MBSGD, nn, Random, type Tensor, tensor } from '../../lib/index.js'
import * as registered from '../../lib/nn/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('one sample')

/** A product of one row may be added up in another order than one of several. */
const close = (a: Tensor, b: Tensor) => {
  expect(a.shape).toEqual(b.shape)
  expect(farthest(a.data, b.data, 1e-5)).toBe('')
}
const rng = () => new Random(3)
const floats = (...shape: number[]) => new Random(5).normal(shape)
/** A model of the layer and a batch of three samples of it. */
const layers: Record<string, [make: () => nn.Module, batch: Tensor]> = {
  Linear: [() => new nn.Linear(4, 3, { rng: rng() }), floats(3, 4)],
  Identity: [() => new nn.Identity(2), floats(3, 4)],
  Sigmoid: [() => new nn.Sigmoid(), floats(3, 4)],
  Tanh: [() => new nn.Tanh(), floats(3, 4)],
  ReLU: [() => new nn.ReLU(), floats(3, 4)],
  Softmax: [() => new nn.Softmax(1), floats(3, 4)],
  LogSoftmax: [() => new nn.LogSoftmax(1), floats(3, 4)],
  LeakyReLU: [() => new nn.LeakyReLU(), floats(3, 4)],
  ELU: [() => new nn.ELU(), floats(3, 4)],
  SELU: [() => new nn.SELU(), floats(3, 4)],
  GELU: [() => new nn.GELU(), floats(3, 4)],
  SiLU: [() => new nn.SiLU(), floats(3, 4)],
  Mish: [() => new nn.Mish(), floats(3, 4)],
  Softplus: [() => new nn.Softplus(), floats(3, 4)],
  LogSigmoid: [() => new nn.LogSigmoid(), floats(3, 4)],
  Hardtanh: [() => new nn.Hardtanh(), floats(3, 4)],
  Flatten: [() => new nn.Sequential(new nn.Flatten(), new nn.Linear(6, 2, { rng: rng() })), floats(3, 2, 3)],
  Residual: [() => new nn.Residual(new nn.Linear(4, 4, { rng: rng() })), floats(3, 4)],
  Parallel: [() => new nn.Parallel(new nn.Linear(4, 2, { rng: rng() }), new nn.Identity()), floats(3, 4)],
  Dropout: [() => new nn.Sequential(new nn.Dropout(0.5), new nn.Linear(4, 2, { rng: rng() })), floats(3, 4)],
  Embedding: [
    () => new nn.Embedding(5, 2, { rng: rng() }),
    tensor([
      [0, 1],
      [4, 2],
      [3, 3],
    ]),
  ],
  TableInput: [
    () => new nn.TableInput(1, [new nn.Embedding(5, 2, { rng: rng() })]),
    tensor([
      [0.5, 1],
      [-2, 4],
      [1, 0],
    ]),
  ],
  'TableInput with places': [
    () =>
      new nn.TableInput(1, [new nn.Embedding(5, 2, { rng: rng() })], {
        places: [{ count: 2 }, { count: 2, average: [0.25, 0.5] }],
        tail: 1,
      }),
    tensor([
      [0.5, 1, 2, 3, 9],
      [-2, 0, 1, 4, 8],
      [1, 1, 0, 0, 7],
    ]),
  ],
  'Embedding and Flatten': [
    () => new nn.Sequential(new nn.Embedding(5, 2, { rng: rng() }), new nn.Flatten(), new nn.Linear(4, 3, { rng: rng() })),
    tensor([
      [0, 1],
      [4, 2],
      [3, 3],
    ]),
  ],
  LayerNorm: [() => new nn.LayerNorm(4), floats(3, 4)],
  'LayerNorm of two axes': [() => new nn.LayerNorm([2, 3]), floats(3, 2, 3)],
  BatchNorm1d: [() => new nn.BatchNorm1d(4), floats(3, 4)],
  'BatchNorm1d of channels': [() => new nn.BatchNorm1d(2), floats(3, 2, 5)],
  BatchNorm2d: [() => new nn.BatchNorm2d(2), floats(3, 2, 4, 5)],
  InstanceNorm2d: [() => new nn.InstanceNorm2d(2), floats(3, 2, 4, 5)],
  // Behind a layer of windows, which says that an image is no batch of rows.
  GroupNorm: [() => new nn.Sequential(new nn.Conv2d(2, 4, 2, { rng: rng() }), new nn.GroupNorm(2, 4)), floats(3, 2, 5, 5)],
  Dropout2d: [() => new nn.Dropout2d(0.5), floats(3, 2, 4, 5)],
  RandomHorizontalFlip: [() => new nn.Sequential(new nn.RandomHorizontalFlip(), new nn.MaxPool2d(2)), floats(3, 2, 4, 5)],
  RandomVerticalFlip: [() => new nn.RandomVerticalFlip(), floats(3, 2, 4, 5)],
  RandomShift: [() => new nn.Sequential(new nn.RandomShift(1), new nn.MaxPool2d(2)), floats(3, 2, 4, 5)],
  RandomCrop: [() => new nn.RandomCrop(3), floats(3, 2, 4, 5)],
  GaussianNoise: [() => new nn.GaussianNoise(1), floats(3, 4)],
  Conv1d: [() => new nn.Conv1d(2, 3, 2, { rng: rng() }), floats(3, 2, 6)],
  Conv2d: [() => new nn.Conv2d(2, 3, 2, { rng: rng() }), floats(3, 2, 4, 5)],
  ConvTranspose1d: [() => new nn.ConvTranspose1d(2, 3, 2, { rng: rng() }), floats(3, 2, 6)],
  ConvTranspose2d: [() => new nn.ConvTranspose2d(2, 3, 2, { rng: rng() }), floats(3, 2, 4, 5)],
  MaxPool1d: [() => new nn.MaxPool1d(2), floats(3, 2, 6)],
  MaxPool2d: [() => new nn.MaxPool2d(2), floats(3, 2, 4, 6)],
  AvgPool1d: [() => new nn.AvgPool1d(2), floats(3, 2, 6)],
  AvgPool2d: [() => new nn.AvgPool2d(2), floats(3, 2, 4, 6)],
  AdaptiveAvgPool1d: [() => new nn.AdaptiveAvgPool1d(2), floats(3, 2, 6)],
  AdaptiveAvgPool2d: [() => new nn.AdaptiveAvgPool2d(2), floats(3, 2, 4, 6)],
  GlobalAvgPool2d: [() => new nn.GlobalAvgPool2d(), floats(3, 2, 4, 6)],
  ZeroPad2d: [() => new nn.ZeroPad2d(1), floats(3, 2, 4, 6)],
  RMSNorm: [() => new nn.RMSNorm(4), floats(3, 4)],
  CausalConv1d: [() => new nn.CausalConv1d(2, 3, 2, { rng: rng() }), floats(3, 2, 6)],
  RNN: [() => new nn.RNN(4, 3, { rng: rng() }), floats(3, 5, 4)],
  GRU: [() => new nn.Sequential(new nn.GRU(4, 3, { rng: rng() }), new nn.LastStep()), floats(3, 5, 4)],
  LSTM: [() => new nn.Sequential(new nn.LSTM(4, 3, { bidirectional: true, rng: rng() }), new nn.MeanOverTime()), floats(3, 5, 4)],
  LastStep: [() => new nn.Sequential(new nn.RNN(4, 3, { rng: rng() }), new nn.LastStep()), floats(3, 5, 4)],
  MeanOverTime: [() => new nn.Sequential(new nn.RNN(4, 3, { rng: rng() }), new nn.MeanOverTime()), floats(3, 5, 4)],
  SinusoidalPositions: [() => new nn.Sequential(new nn.SinusoidalPositions(4), new nn.RNN(4, 3, { rng: rng() })), floats(3, 5, 4)],
  LearnedPositions: [
    () => new nn.Sequential(new nn.LearnedPositions(5, 4, { rng: rng() }), new nn.RNN(4, 3, { rng: rng() })),
    floats(3, 5, 4),
  ],
  MultiheadAttention: [() => new nn.MultiheadAttention(4, 2, { rng: rng() }), floats(3, 5, 4)],
  TransformerEncoderLayer: [() => new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 8, rng: rng() }), floats(3, 5, 4)],
  TransformerEncoder: [
    () => new nn.TransformerEncoder(() => new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 8, rng: rng() }), 2),
    floats(3, 5, 4),
  ],
  Sequential: [() => new nn.Sequential(new nn.Linear(4, 2, { rng: rng() }), new nn.BatchNorm1d(2), new nn.Tanh()), floats(3, 4)],
}

test('every layer is among them', () => {
  const classes = Object.entries(registered).filter(([, v]) => typeof v === 'function' && v.prototype instanceof nn.Module)
  // An image without its batch is a batch of signals to Upsample: only a trained model knows. A decoder takes two sequences.
  expect(classes.map(([n]) => n).filter((n) => !(n in layers))).toEqual(['Upsample', 'TransformerDecoderLayer', 'TransformerDecoder'])
})

describe.each(present)('on the %s engine', (name) => {
  test.each(Object.entries(layers))('%s', async (_, [make, batch]) => {
    await using(name, async () => {
      const model = make()
      const whole = model.predict(batch)
      for (let i = 0; i < 3; i++) {
        const sample = batch.gather(i)
        const one = model.predict(sample)
        expect(one.shape).toEqual(whole.shape.slice(1))
        close(one, whole.gather(i))
        close(await model.predictAsync(sample), one)
        const out = new Float32Array(one.size)
        model.predictInto(sample.data, out, sample.shape)
        expect(farthest(out, one.data, 1e-5)).toBe('')
      }
    })
  })

  test('a model that was trained knows the rank of its samples, and a saved one still does', async () => {
    await using(name, async () => {
      // Two channels of two values: a batch of two samples of it looks the same as a sample.
      const make = () => new nn.Sequential(new nn.BatchNorm1d(2), new nn.Flatten(), new nn.Linear(4, 1, { rng: rng() }))
      const model = make()
      const x = floats(6, 2, 2)
      const untrained = codeOf(() => model.predict(x.gather(0)))
      expect(untrained).toBe('nothing')
      await new MBSGD(model, { loss: loss.squaredError, learningRate: 0.01, batchSize: 3 }).fit({ x, y: floats(6, 1) }, { epochs: 1 })
      close(model.predict(x.gather(2)), model.predict(x).gather(2))
      const scalars = new nn.Sequential(new nn.Embedding(4, 2, { rng: rng() }), new nn.Flatten(), new nn.Linear(2, 1, { rng: rng() }))
      await new MBSGD(scalars, { loss: loss.squaredError, learningRate: 0.01, batchSize: 2 }).fit(
        { x: [0, 1, 2, 3], y: [[0], [1], [0], [1]] },
        { epochs: 1 },
      )
      expect(scalars.predict([1, 2]).shape).toEqual([2, 1])
      close(scalars.predict(1), scalars.predict([0, 1]).gather(1))
    })
  })

  test('one sample of a model that reads values, and of one without a batch axis', async () => {
    await using(name, () => {
      class Reads extends nn.Module {
        inner = new nn.Sequential(new nn.BatchNorm1d(2), new nn.Linear(2, 1, { rng: rng() }))
        forward(x: Tensor): Tensor {
          return (x.data[0] as number) > 0 ? this.inner.forward(x) : this.inner.forward(x).neg()
        }
      }
      const model = new Reads()
      close(model.predict([1, 2]), model.predict([[1, 2]]).gather(0))
      close(model.predict([-1, 2]), model.predict([[-1, 2]]).gather(0))
      class Total extends nn.Module {
        forward(x: Tensor): Tensor {
          return x.sum()
        }
      }
      expect(new Total().predict([1, 2]).item()).toBe(3)
      expect(() => new nn.Linear(4, 1).predict([1, 2, 3])).toThrow(/got \[3\]/)
      expect(() => new nn.BatchNorm1d(4).predict([1, 2, 3])).toThrow(/got \[3\]/)
    })
  })
})
