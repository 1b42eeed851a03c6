/** Steppers: one element at a time is the whole sequence, on both engines; states, changes and misuse. */

import { describe, expect, test } from 'vitest'
import { nn, Random, type Tensor, tensor, zeros } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { announce, during, present, using } from '../support/engines.js'
import { farthest } from '../support/tolerance.js'

announce('steppers')

const rng = () => new Random(3)
const encoder = (options: nn.TransformerOptions, count = 2) =>
  new nn.TransformerEncoder(
    () => new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 12, causal: true, rng: new Random(count++), ...options }),
    2,
    { norm: new nn.RMSNorm(8) },
  )
class Doubling extends nn.Module {
  override forward(x: Tensor): Tensor {
    return x.mul(2)
  }
}
class Summing extends nn.Module {
  override forward(x: Tensor): Tensor {
    return x.cumsum(1)
  }
  override stepForward(x: Tensor, memory: nn.StepMemory): Tensor {
    return memory.carry([zeros(x.shape)], ([total]) => [(total as Tensor).add(x)])[0] as Tensor
  }
}
/** Each model with whether its elements are indices, and whether its output is that of the last step alone. */
const models: [string, () => nn.Module, { ids?: boolean; channels?: boolean; last?: boolean }?][] = [
  ['RNN', () => new nn.RNN(8, 5, { rng: rng(), nonlinearity: 'relu' })],
  ['GRU of two layers', () => new nn.GRU(8, 5, { rng: rng(), numLayers: 2 })],
  [
    'LSTM, last step, head',
    () => new nn.Sequential(new nn.LSTM(8, 5, { rng: rng() }), new nn.LastStep(), new nn.Linear(5, 2, { rng: rng() })),
    { last: true },
  ],
  ['mean', () => new nn.Sequential(new nn.Linear(8, 3, { rng: rng() }), new nn.Tanh(), new nn.MeanOverTime()), { last: true }],
  ['causal encoder', () => new nn.Sequential(new nn.SinusoidalPositions(8), encoder({}), new nn.Softmax())],
  ['rotary encoder', () => encoder({ rotary: true, normFirst: true, activation: 'gelu' })],
  [
    'tokens',
    () =>
      new nn.Sequential(
        new nn.Embedding(9, 8, { rng: rng() }),
        new nn.LearnedPositions(12, 8, { rng: rng() }),
        encoder({}),
        new nn.Dropout(0.5),
      ),
    { ids: true },
  ],
  [
    'causal convolution',
    () => new nn.Sequential(new nn.CausalConv1d(8, 6, 3, { dilation: 2, groups: 2, rng: rng() }), new nn.GELU()),
    { channels: true },
  ],
  [
    'residual and parallel',
    () =>
      new nn.Sequential(
        new nn.Residual(new nn.GRU(8, 8, { rng: rng() })),
        new nn.Parallel(new nn.Identity(), new nn.RNN(8, 2, { rng: rng() })),
      ),
  ],
  ['a layer of one’s own', () => new nn.Sequential(new Summing(), new nn.LayerNorm(8))],
]

for (const engine of present) {
  describe(`${engine} engine`, () => {
    test.each(models)('%s', (_name, make, { ids = false, channels = false, last = false } = {}) => {
      using(engine, () => {
        const model = make().eval()
        const T = 7
        const x = ids ? tensor([3, 1, 4, 1, 5, 8, 2]).reshape([1, T]) : new Random(9).normal([1, T, 8])
        const forward = (v: Tensor): Tensor => {
          const made = model.forward(channels ? v.transpose([0, 2, 1]) : v)
          const y = made.output ?? made
          return channels ? y.transpose([0, 2, 1]) : y
        }
        const expected = last ? undefined : forward(x)
        const stepper = model.stepper({ maxSteps: 10 })
        for (let run = 0; run < 2; run++) {
          for (let t = 0; t < T; t++) {
            const y = stepper.step(ids ? (x.data[t] as number) : x.gather(0).gather(t))
            const whole = expected ? expected.gather(0).gather(t) : forward(x.slice(null, [0, t + 1])).gather(0)
            expect(y.shape).toEqual(whole.shape)
            expect(farthest(y.data, whole.data, 1e-5)).toBe('')
          }
          expect(stepper.position).toBe(T)
          stepper.reset()
        }
      })
    })

    test('typed arrays, streams side by side, and a state that goes on elsewhere', () => {
      using(engine, () => {
        const model = new nn.Sequential(new nn.LSTM(3, 4, { rng: rng() }), new nn.Linear(4, 2, { rng: rng() }))
        const x = new Random(2).normal([5, 6, 3])
        const whole = model.forward(x)
        const stepper = model.stepper({ streams: 5 })
        const [element, out] = [new Float32Array(15), new Float32Array(10)]
        for (let t = 0; t < 6; t++) {
          element.set(x.slice(null, [t, t + 1]).data as Float32Array)
          stepper.stepInto(element, out)
          expect(farthest(out, whole.slice(null, [t, t + 1]).data, 1e-5)).toBe('')
          if (t === 2) {
            const other = model.stepper({ streams: 5, shape: [3] })
            other.state = stepper.state
            expect(other.position).toBe(3)
            other.stepInto(Float32Array.from(x.slice(null, [3, 4]).data), out)
            expect(farthest(out, whole.slice(null, [3, 4]).data, 1e-5)).toBe('')
          }
        }
      })
    })

    test('follows a model that learns, and one that is changed', () => {
      using(engine, () => {
        const model = new nn.GRU(2, 3, { rng: rng() })
        const stepper = model.stepper()
        const before = stepper.step([1, 2])
        for (const p of model.parameters()) p.assign(p.mul(0.5))
        stepper.reset()
        const after = stepper.step([1, 2])
        expect(after.data).not.toEqual(before.data)
        expect(farthest(after.data, model.forward(tensor([[[1, 2]]])).output.data, 1e-6)).toBe('')
        Object.assign(model, { numLayers: 1 })
        const second = stepper.step([1, 2])
        expect(
          farthest(
            second.data,
            model
              .forward(
                tensor([
                  [
                    [1, 2],
                    [1, 2],
                  ],
                ]),
              )
              .output.data.subarray(3),
            1e-6,
          ),
        ).toBe('')
      })
    })
  })
}

test('a state survives a change of engines', async () => {
  if (present.length < 2) return
  const model = new nn.LSTM(2, 3, { rng: rng() })
  const whole = model.forward(
    tensor([
      [
        [1, 2],
        [3, 4],
      ],
    ]),
  ).output
  const stepper = model.stepper()
  await during('native', async () => {
    stepper.step([1, 2])
  })
  await during('js', async () => {
    expect(farthest(stepper.step([3, 4]).data, whole.data.subarray(3), 1e-6)).toBe('')
  })
})

describe('misuse is refused by name', () => {
  const gru = new nn.GRU(2, 3)
  const stepped =
    (model: nn.Module, x: unknown, options: nn.StepperOptions = {}) =>
    () =>
      model.stepper(options).step(x as never)
  const cases: [string, () => unknown, string, RegExp][] = [
    ['two directions', stepped(new nn.GRU(2, 3, { bidirectional: true }), [1, 2]), 'ERR_STATE', /two directions/],
    ['attention that looks ahead', stepped(new nn.TransformerEncoderLayer(2, 1), [1, 2]), 'ERR_STATE', /causal: true/],
    [
      'a layer that does not say how',
      stepped(new nn.Sequential(new Doubling()), [1, 2]),
      'ERR_STATE',
      /Doubling does not say .* stepForward/,
    ],
    ['a convolution over all', stepped(new nn.Conv1d(2, 3, 1), [1, 2]), 'ERR_STATE', /Conv1d/],
    ['an element of another size', stepped(gru, [1, 2, 3]), 'ERR_SHAPE', /a step of shape \[2\], got \[3\]/],
    ['other streams', stepped(gru, [[1, 2]], { streams: 3 }), 'ERR_SHAPE', /each of 3 streams, got \[1, 2\]/],
    ['an unknown option', stepped(gru, [1, 2], { steps: 3 } as never), 'ERR_OPTION', /maxSteps/],
    ['no steps', stepped(gru, [1, 2], { maxSteps: 0 }), 'ERR_RANGE', /maxSteps/],
    [
      'more steps than are kept',
      () => {
        const stepper = new nn.TransformerEncoderLayer(2, 1, { causal: true }).stepper({ maxSteps: 2 })
        for (let i = 0; i < 3; i++) stepper.step([i, 1])
      },
      'ERR_RANGE',
      /keeps 2 steps/,
    ],
    [
      'a small array',
      () => {
        gru.stepper().stepInto(new Float32Array(2), new Float32Array(2))
      },
      'ERR_SHAPE',
      /out to hold 3 numbers/,
    ],
    [
      'a state of another',
      () => {
        gru.stepper({ shape: [2] }).state = [zeros([1])]
      },
      'ERR_STATE',
      /a state of GRU/,
    ],
  ]
  test.each(cases)('%s', (_name, attempt, code, message) => {
    expect(codeOf(attempt)).toBe(code)
    expect(attempt).toThrow(message)
  })

  test('an element that is refused changes nothing', () => {
    const stepper = gru.stepper()
    const first = stepper.step([1, 2])
    expect(() => stepper.step([1, 2, 3])).toThrow(/expected elements of shape \[2\], got \[3\]/)
    stepper.reset()
    expect(stepper.step([1, 2]).data).toEqual(first.data)
  })
})
