/** Models in one file: architecture, weights, transforms and classes come back; anything corrupt changes nothing. */

import { readFileSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import {
  encodeSafetensors,
  FBGD,
  loadModel,
  loadParameters,
  loss,
  MBSGD,
  nn,
  Random,
  readCsv,
  readSafetensors,
  saveModel,
  saveParameters,
  seed,
  standardize,
  type Tensor,
  tensor,
} from '../../lib/index.js'
import { decodeModel } from '../../lib/io/model.js'
import { codeOf } from '../backend/engines.js'
import { failureOf, folder, fuzz } from './helpers.js'

const path = folder()
const small = (rng = new Random(1)) => new nn.Sequential(new nn.Linear(3, 4, { rng }), new nn.Tanh(), new nn.Linear(4, 2, { rng }))
/** The parameters as plain arrays: a tensor's values are private, so that `toEqual` on tensors would compare shapes alone. */
const valuesOf = (model: nn.Module) => Object.fromEntries(Object.entries(model.stateDict()).map(([name, t]) => [name, t.toArray()]))
const x = new Random(2).normal([5, 3])

class Residual extends nn.Module {
  readonly width: number
  inner: nn.Linear
  constructor({ width }: { width: number }) {
    super()
    this.width = width
    this.inner = new nn.Linear(width, width)
  }
  override config() {
    return { width: this.width }
  }
  override forward(input: Tensor): Tensor {
    return this.inner.forward(input).relu().add(input)
  }
}
nn.registerModule('test.Residual', Residual)

describe('saveModel and loadModel', () => {
  test('every built-in layer at hand comes back with its settings', async () => {
    const model = new nn.Sequential(
      new nn.Linear(3, 4, { bias: false }),
      new nn.ReLU(),
      new nn.Sequential(new nn.Sigmoid(), new nn.Identity(2.5)),
      new Residual({ width: 4 }),
      new nn.Linear(4, 2),
      new nn.Softmax(-1),
    )
    await saveModel(model, path('a.model'))
    const loaded = await loadModel(path('a.model'))
    expect(loaded.summary()).toBe(model.summary())
    expect(loaded.predict(x).data).toEqual(model.predict(x).data)
    expect(loaded).toBeInstanceOf(nn.Sequential)
    expect(valuesOf(loaded)).toEqual(valuesOf(model))
    expect(loaded.transforms).toEqual([])
    expect(loaded.classes).toBeUndefined()
  })

  test('so do compositions, normalisations, dropout and activations, running statistics too', async () => {
    const norm = new nn.BatchNorm1d(4)
    for (const buffer of norm.buffers()) buffer.data.fill(3)
    const inner = new nn.Sequential(
      norm,
      new nn.LeakyReLU(0.2),
      new nn.ELU(0.5),
      new nn.SELU(),
      new nn.GELU({ approximate: 'tanh' }),
      new nn.SiLU(),
    )
    const model = new nn.Sequential(
      new nn.Linear(3, 4),
      new nn.Residual(inner),
      new nn.Parallel(new nn.Mish(), new nn.Softplus(), new nn.LogSigmoid(), new nn.Hardtanh(-2, 2)),
      new nn.LayerNorm(16, { eps: 1e-3 }),
      new nn.Dropout(0.3),
      new nn.Flatten(),
      new nn.LogSoftmax(),
    )
    await saveModel(model, path('all.model'))
    const loaded = await loadModel(path('all.model'))
    const settings = (m: nn.Module) => `${m.describe()} ${JSON.stringify(m.config(), (_, v) => (v instanceof nn.Module ? '' : v))}`
    expect(loaded.modules().map(settings)).toEqual(model.modules().map(settings))
    expect(valuesOf(loaded)).toEqual(valuesOf(model))
    expect(loaded.buffers().length).toBeGreaterThan(1)
    expect(loaded.predict(x).data).toEqual(model.predict(x).data)
    await saveModel(new nn.Embedding(7, 3), path('embedding.model'))
    expect((await loadModel(path('embedding.model'))).parameters()[0]?.shape).toEqual([7, 3])
  })

  test('float64, frozen layers, a layer used twice', async () => {
    const twice = new nn.Linear(3, 3, { dtype: 'float64' })
    const model = new nn.Sequential(twice, new nn.Tanh(), twice)
    twice.weight.frozen = true
    await saveModel(model, path('b.model'))
    const loaded = (await loadModel(path('b.model'))) as unknown as nn.Sequential
    expect(loaded.layers[0]).toBe(loaded.layers[2])
    expect(loaded.namedParameters().map(([name, p]) => [name, p.dtype, p.frozen])).toEqual([
      ['0.weight', 'float64', true],
      ['0.bias', 'float64', false],
    ])
    expect(loaded.predict(x).data).toEqual(model.predict(x).data)
  })

  test('a serving process needs nothing else: records in, names out', async () => {
    const rows = Array.from({ length: 60 }, (_, i) => `${i},${i % 2 ? 'red' : 'blue'},${i < 30 ? 'low' : 'high'}`)
    const data = await readCsv(Readable.from([`n,colour,y\n${rows.join('\n')}\n`]), { target: 'y' })
    const scale = standardize(data)
    const model = new nn.Sequential(new nn.Linear(3, 2, { rng: new Random(4) }))
    await new MBSGD(model, { loss: loss.crossEntropy, batchSize: 10, learningRate: 0.5 }).fit(scale(data), { epochs: 30, seed: 1 })
    const { encoder, classes } = data as Required<typeof data>
    await saveModel(model, path('c.model'), { transforms: [encoder, scale], classes })
    const served = await loadModel(path('c.model'))
    const requests = [
      { n: 2, colour: 'red' },
      { n: 55, colour: 'blue' },
    ]
    const prediction = served.predict(served.preprocess(requests))
    expect(served.classesOf(prediction)).toEqual(['low', 'high'])
    expect(prediction.data).toEqual(model.predict(scale(encoder(requests))).data)
    // What came back trains on, and is saved again.
    await new MBSGD(served, { loss: loss.crossEntropy, batchSize: 10, learningRate: 0.5 }).fit(scale(data), { epochs: 1, seed: 1 })
    await saveModel(served, path('c2.model'), { transforms: served.transforms, classes: served.classes as string[] })
    expect((await loadModel(path('c2.model'))).preprocess(requests).data).toEqual(served.preprocess(requests).data)
  })

  test('one output names two classes by its probability', async () => {
    await saveModel(new nn.Linear(3, 1), path('d.model'), { classes: ['no', 'yes'] })
    const loaded = await loadModel(path('d.model'))
    expect(loaded.classesOf(tensor([[0.2], [0.7]]))).toEqual(['no', 'yes'])
    expect(codeOf(() => loaded.classesOf(tensor([[0.2, 0.1, 0.7]])))).toBe('ERR_SHAPE')
  })

  test('one output is read as the loss took it that the model was trained with', async () => {
    const single = () => new nn.Sequential(new nn.Linear(1, 1, { init: () => tensor([[1]]), bias: false }))
    const labels = { x: [[1], [-1]], y: [[1], [0]] }
    const own = (p: Tensor, y: Tensor) => loss.bceWithLogits(p, y, { reduction: 'none' })
    // Of logits 0.4 and −0.4 the probabilities are 0.6 and 0.4; of probabilities 0.6 and 0.4 …
    const cases: [FBGD['loss'], object, number[], string[] | string][] = [
      [loss.bceWithLogits, {}, [0.4, -0.4], ['yes', 'no']],
      [loss.bceWithLogits.with({ weight: [1, 1] }), {}, [0.4, -0.4], ['yes', 'no']],
      [loss.hinge, {}, [0.4, -0.4], ['yes', 'no']],
      [loss.squaredError, {}, [0.6, 0.4], ['yes', 'no']],
      [own, {}, [0.4, 0.2], 'ERR_STATE'],
      [Object.assign((...a: Parameters<typeof own>) => own(...a), { targets: 'probabilities' as const }), {}, [0.4, -0.4], ['yes', 'no']],
      [own, { outputs: 'logits' }, [0.4, -0.4], ['yes', 'no']],
      [Object.assign((...a: Parameters<typeof own>) => own(...a), { outputs: 'logits' as const }), {}, [0.4, -0.4], ['yes', 'no']],
      [loss.bceWithLogits, { outputs: 'probabilities' }, [0.4, 0.6], ['no', 'yes']],
    ]
    for (const [fitted, options, predictions, expected] of cases) {
      const model = single()
      const y = fitted === loss.hinge ? [[1], [-1]] : labels.y
      await new FBGD(model, { loss: fitted, learningRate: 0.01 }).fit({ x: labels.x, y }, { epochs: 1 })
      await saveModel(model, path('f.model'), { classes: ['no', 'yes'], ...options })
      await saveModel(await loadModel(path('f.model')), path('g.model'), { classes: ['no', 'yes'] })
      for (const file of ['f.model', 'g.model']) {
        const loaded = await loadModel(path(file))
        const prediction = tensor(predictions.map((p) => [p]))
        if (typeof expected === 'string') expect(codeOf(() => loaded.classesOf(prediction))).toBe(expected)
        else expect(loaded.classesOf(prediction)).toEqual(expected)
      }
    }
    await saveModel(single(), path('h.model'), { classes: ['no', 'yes'] })
    const untrained = await loadModel(path('h.model'))
    expect(codeOf(() => untrained.classesOf(tensor([[1.5]])))).toBe('ERR_STATE')
    await expect(saveModel(single(), path('i.model'), { outputs: 'logit' as 'logits' })).rejects.toMatchObject({ code: 'ERR_OPTION' })
  })

  test('a loaded model knows one sample from a batch', async () => {
    const model = new nn.Sequential(new nn.BatchNorm1d(2), new nn.Flatten(), new nn.Linear(4, 1))
    const x = new Random(1).normal([6, 2, 2])
    await new MBSGD(model, { loss: loss.mse, learningRate: 0.01, batchSize: 3 }).fit({ x, y: new Random(2).normal([6, 1]) }, { epochs: 1 })
    await saveModel(model, path('j.model'))
    expect((await loadModel(path('j.model'))).predict(x.gather(1)).shape).toEqual([1])
  })

  test('loading draws nothing from the default generator', async () => {
    await saveModel(small(), path('e.model'))
    seed(3)
    const before = new nn.Linear(2, 2).weight.toArray()
    seed(3)
    await loadModel(path('e.model'))
    expect(new nn.Linear(2, 2).weight.toArray()).toEqual(before)
  })

  test('the weights are any safetensors reader\u2019s', async () => {
    const model = small()
    await saveModel(model, path('f.model'))
    const { tensors } = await readSafetensors(path('f.model'))
    expect(Object.keys(tensors)).toEqual(['0.weight', '0.bias', '2.weight', '2.bias'])
    expect(tensors['2.weight']?.data).toEqual(model.stateDict()['2.weight']?.data)
  })

  test('refuses what it could not bring back', async () => {
    class Unknown extends nn.Module {
      override forward(input: Tensor): Tensor {
        return input
      }
    }
    class Derived extends nn.Linear {}
    expect(await failureOf(saveModel(new nn.Sequential(new Unknown()), path('g.model')))).toMatchObject({
      code: 'ERR_STATE',
      message: expect.stringMatching(/registerModule\('Unknown'/),
    })
    expect((await failureOf(saveModel(new Derived(1, 1), path('g.model')))).code).toBe('ERR_STATE')
    expect((await failureOf(saveModel({} as never, path('g.model')))).code).toBe('ERR_VALUE')
    expect((await failureOf(saveModel(small(), path('g.model'), { classes: [1] } as never))).code).toBe('ERR_OPTION')
    expect((await failureOf(saveModel(small(), path('g.model'), { transforms: [1] } as never))).code).toBe('ERR_OPTION')
    expect((await failureOf(saveModel(small(), path('g.model'), { transform: [] } as never))).code).toBe('ERR_OPTION')
    nn.registerModule('test.Derived', Derived)
    await saveModel(new Derived(2, 1, { bias: false }), path('g.model'))
    const derived = await loadModel(path('g.model'))
    expect(derived).toBeInstanceOf(Derived)
    expect(derived.parameters().length).toBe(1)
  })

  test('refuses a field that what a loaded model has would hide', async () => {
    class Hidden extends nn.Module {
      table = new nn.Linear(2, 1)
      forward(x: Tensor): Tensor {
        return this.table.forward(x)
      }
    }
    nn.registerModule('test.Hidden', Hidden)
    expect((await failureOf(saveModel(new Hidden(), path('hidden')))).message).toMatch(
      /has a field 'table', which loadModel adds to a model: rename the field/,
    )
  })

  test('registerModule refuses what is taken and what is no module', () => {
    class Another extends nn.Module {
      override forward(input: Tensor): Tensor {
        return input
      }
    }
    nn.registerModule('test.Residual', Residual)
    expect(codeOf(() => nn.registerModule('Linear', Another))).toBe('ERR_STATE')
    expect(codeOf(() => nn.registerModule('other', Residual))).toBe('ERR_STATE')
    expect(codeOf(() => nn.registerModule('', Another))).toBe('ERR_VALUE')
    expect(codeOf(() => nn.registerModule('text', String as never))).toBe('ERR_VALUE')
  })
})

describe('a file that is not what it should be', () => {
  const file = async (change: (json: Record<string, unknown>) => void) => {
    await saveModel(small(), path('h.model'), { transforms: [standardize(x)] })
    const { tensors, metadata } = await readSafetensors(path('h.model'))
    const json = JSON.parse(metadata.model as string) as Record<string, unknown>
    change(json)
    return encodeSafetensors(tensors, { ...metadata, model: JSON.stringify(json) })
  }
  type Saved = { modules: { type: string; config: Record<string, unknown> }[] }
  const first = (json: object) => (json as Saved).modules[0] as Saved['modules'][0]

  test.each<[string, (json: Record<string, unknown>) => void]>([
    ['no modules', (json) => Object.assign(json, { modules: [] })],
    ['modules that are no list', (json) => Object.assign(json, { modules: { length: 1 } })],
    ['an unknown class', (json) => Object.assign(first(json), { type: 'toString' })],
    ['other sizes', (json) => Object.assign(first(json).config, { inFeatures: 4 })],
    ['sizes beyond the file', (json) => Object.assign(first(json).config, { inFeatures: 1e6, outFeatures: 1e6 })],
    ['sizes beyond everything', (json) => Object.assign(first(json).config, { inFeatures: 1e15, outFeatures: 1e15 })],
    ['an unknown setting', (json) => Object.assign(first(json).config, { colour: 'red' })],
    ['a setting of another kind', (json) => Object.assign(first(json).config, { inFeatures: '3' })],
    ['a reference to itself', (json) => Object.assign(first(json), { type: 'Sequential', config: { layers: [{ $module: 0 }] } })],
    ['a reference out of range', (json) => Object.assign(first(json), { type: 'Sequential', config: { layers: [{ $module: -1 }] } })],
    [
      'a reference that is a name',
      (json) => Object.assign(first(json), { type: 'Sequential', config: { layers: [{ $module: 'length' }] } }),
    ],
    ['frozen names of nothing', (json) => Object.assign(json, { frozen: ['9.weight'] })],
    ['frozen that is no list', (json) => Object.assign(json, { frozen: 1 })],
    ['classes of numbers', (json) => Object.assign(json, { classes: [1] })],
    ['an unknown transform', (json) => Object.assign(json, { transforms: [{ kind: 'pca' }] })],
    ['a transform without numbers', (json) => Object.assign(json, { transforms: [{ kind: 'standardize', shape: [1] }] })],
  ])('%s', async (_, change) => {
    const bytes = await file(change)
    expect(codeOf(() => decodeModel(bytes))).toBe('ERR_FILE')
  })

  test('parameters alone, another program\u2019s file, no file', async () => {
    await saveParameters(small(), path('p.safetensors'))
    expect(await failureOf(loadModel(path('p.safetensors')))).toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/loadParameters/),
    })
    writeFileSync(path('q'), encodeSafetensors({ a: tensor(1) }))
    expect((await failureOf(loadModel(path('q')))).message).toMatch(/saveModel wrote.*\(in .*q\)/)
    expect((await failureOf(loadModel(path('none')))).code).toBe('ERR_FILE')
  })

  test('mutations give a model or a coded error, at the cost of the file', async () => {
    const bytes = await file(() => undefined)
    const refused = await fuzz([bytes], (mutated) => {
      const model = decodeModel(mutated)
      expect(model.parameters().reduce((n, p) => n + p.size, 0)).toBeLessThanOrEqual(mutated.length)
    })
    expect(refused).toBeGreaterThan(0)
  })
})

describe('saveParameters and loadParameters', () => {
  test('swap a serving model\u2019s weights all at once or not at all', async () => {
    const [serving, better] = [small(), small(new Random(9))]
    const predictions = [serving.predict(x), better.predict(x)].map((p) => Array.from(p.data))
    await saveParameters(better, path('w.safetensors'))
    const loading = loadParameters(serving, path('w.safetensors'))
    expect(Array.from(serving.predict(x).data)).toEqual(predictions[0])
    await loading
    expect(Array.from(serving.predict(x).data)).toEqual(predictions[1])
  })

  test('any truncation changes nothing', async () => {
    await saveParameters(small(new Random(9)), path('t.safetensors'))
    const bytes = readFileSync(path('t.safetensors'))
    const model = small()
    const before = valuesOf(model)
    for (let length = 0; length < bytes.length; length += 13) {
      writeFileSync(path('cut.safetensors'), bytes.subarray(0, length))
      expect((await failureOf(loadParameters(model, path('cut.safetensors')))).code).toBe('ERR_FILE')
    }
    expect(valuesOf(model)).toEqual(before)
  })

  test('other names or shapes change nothing; strict can be off', async () => {
    const model = small()
    const before = valuesOf(model)
    await saveParameters(new nn.Sequential(new nn.Linear(3, 4)), path('s.safetensors'))
    expect((await failureOf(loadParameters(model, path('s.safetensors')))).code).toBe('ERR_STATE')
    expect(valuesOf(model)).toEqual(before)
    await loadParameters(model, path('s.safetensors'), { strict: false })
    expect(valuesOf(model)['0.weight']).not.toEqual(before['0.weight'])
    expect(valuesOf(model)['2.weight']).toEqual(before['2.weight'])
    writeFileSync(path('shape'), encodeSafetensors({ ...model.stateDict(), '0.weight': tensor([[1]]) }))
    expect((await failureOf(loadParameters(model, path('shape')))).code).toBe('ERR_STATE')
  })

  test('takes half floats of other programs where the model is float32', async () => {
    const layer = new nn.Linear(1, 1, { bias: false })
    const f16 = Buffer.concat([
      Buffer.from([0x40, 0, 0, 0, 0, 0, 0, 0]),
      Buffer.from('{"weight":{"dtype":"F16","shape":[1,1],"data_offsets":[0,2]}}'.padEnd(64)),
      Buffer.from([0, 0x3e]),
    ])
    writeFileSync(path('half'), f16)
    await loadParameters(layer, path('half'))
    expect(layer.weight.item()).toBe(1.5)
  })
})
