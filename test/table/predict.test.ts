/** From records to answers, saved and loaded: classes, labels, numbers; thresholds, temperatures, metadata; old files. */

import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { setBackend } from '../../lib/backend/select.js'
import { decodeModel, loadModel, saveModel } from '../../lib/io/model.js'
import { readTable } from '../../lib/io/table-source.js'
import '../../lib/primitives/methods.js'
import { Linear, ReLU, Sequential } from '../../lib/nn/layers.js'
import { adam } from '../../lib/optim/adam.js'
import { calibrate, chooseThreshold } from '../../lib/table/calibrate.js'
import { category } from '../../lib/table/category.js'
import { fitTable } from '../../lib/table/fit.js'
import { number } from '../../lib/table/number.js'
import { TablePredictor } from '../../lib/table/predictor.js'
import type { Table } from '../../lib/table/table.js'
import { labels } from '../../lib/table/target.js'
import { tensor } from '../../lib/tensor/creation.js'
import { Random } from '../../lib/tensor/random.js'
import { MBSGD } from '../../lib/train/trainers.js'
import { areaUnderRoc, averagePrecision, brierScore, calibrationError, meanLogLoss } from '../../lib/util/scores.js'
import { failureOf, folder, fuzz } from '../io/helpers.js'

const place = folder()
const rng = () => new Random(1)
const records = Array.from({ length: 300 }, (_, i) => ({
  plan: ['free', 'basic', 'pro'][i % 3] as string,
  spend: (i * 7) % 50,
  churned: (i * 7) % 50 > 25 ? 'yes' : 'no',
  price: 10 + 3 * ((i * 7) % 50),
  tags: i % 2 ? 'a;b' : 'b',
}))
const rows = await readTable(records)

async function trained(target: string | string[], columns = {}) {
  const known = rows.without(...['churned', 'price', 'tags'].filter((name) => ![target].flat().includes(name)))
  const table = fitTable(known, { target, columns })
  const model = new Sequential(
    table.input({ rng: rng() }),
    new Linear(table.width, 16, { rng: rng() }),
    new ReLU(),
    new Linear(16, table.outputs, { rng: rng() }),
  )
  const trainer = new MBSGD(model, { loss: table.loss, optimizer: adam({ learningRate: 0.02 }), batchSize: 32 })
  await trainer.fit(table(known), { epochs: 60, seed: 1 })
  return { table, model, known }
}

describe('a saved model answers to records', () => {
  test('classes, with a threshold, a temperature and metadata', async () => {
    const { table, model, known } = await trained('churned')
    await saveModel(model, place('a.model'), { table, threshold: 0.4, temperature: 2, metadata: { version: '3', nested: { a: [1] } } })
    const loaded = await loadModel(place('a.model'))
    expect(loaded.metadata).toEqual({ version: '3', nested: { a: [1] } })
    expect([loaded.threshold, loaded.temperature]).toEqual([0.4, 2])
    const [first, second] = loaded.predictRecords([
      { plan: 'pro', spend: 3 },
      { plan: 'pro', spend: 45 },
    ])
    expect(first).toMatchObject({ churned: 'no' })
    expect(second).toMatchObject({ churned: 'yes' })
    expect((first?.probabilities?.no as number) + (first?.probabilities?.yes as number)).toBeCloseTo(1, 9)
    expect(first?.probability).toBe(first?.probabilities?.no)
    // One record, several, and rows give the same answers.
    const all = loaded.predictRecords(records.map(({ plan, spend }) => ({ plan, spend })))
    expect(loaded.predictRecords(known)).toEqual(all)
    for (const i of [0, 17, 299]) {
      const { plan, spend } = records[i] as (typeof records)[0]
      const [one] = loaded.predictRecords([{ plan, spend }])
      expect(one?.churned).toBe(all[i]?.churned)
      expect(one?.probability).toBeCloseTo(all[i]?.probability as number, 6)
    }
    // The temperature divides logits.
    const z = new TablePredictor(model, table).outputs([{ plan: 'pro', spend: 45 }])
    const p = 1 / (1 + Math.exp(((z[0] as number) - (z[1] as number)) / 2))
    expect(second?.probabilities?.yes).toBeCloseTo(p, 6)
    expect(loaded.preprocess([{ plan: 'pro', spend: 45 }]).shape).toEqual([1, table.inputs.length])
  })

  test('numbers, in their own units', async () => {
    const { table, model } = await trained('price', { price: number({ log: true }) })
    await saveModel(model, place('b.model'), { table })
    const loaded = await loadModel(place('b.model'))
    const answers = loaded.predictRecords([
      { plan: 'pro', spend: 10 },
      { plan: 'free', spend: 40 },
    ])
    expect(Math.abs((answers[0]?.price as number) - 40)).toBeLessThan(8)
    expect(Math.abs((answers[1]?.price as number) - 130)).toBeLessThan(20)
    expect(Object.keys(answers[0] as object)).toEqual(['price'])
  })

  test('several labels', async () => {
    const { table, model } = await trained('tags', { tags: labels() })
    await saveModel(model, place('c.model'), { table, threshold: 0.3 })
    const [answer] = (await loadModel(place('c.model'))).predictRecords([{ plan: 'pro', spend: 10 }])
    expect(answer?.tags).toContain('b')
    expect(Object.keys(answer?.probabilities as object)).toEqual(['a', 'b'])
  })
})

describe('what does not fit is refused when it is saved or asked', () => {
  test('at saving', async () => {
    const { table, model } = await trained('churned')
    const wrong = new Sequential(table.input(), new Linear(table.width, 3))
    expect((await failureOf(saveModel(wrong, place('x'), { table }))).message).toContain('gives 3 outputs a row')
    expect((await failureOf(saveModel(model, place('x'), { table, threshold: 1.5 }))).code).toBe('ERR_RANGE')
    expect((await failureOf(saveModel(model, place('x'), { threshold: 0.4 }))).message).toContain('belong to a table')
    expect((await failureOf(saveModel(model, place('x'), { table: {} as never }))).message).toContain('made by fitTable')
    expect((await failureOf(saveModel(model, place('x'), { metadata: { big: 1n } }))).message).toContain('not JSON')
    const bare = new Sequential(new Linear(table.width, 2))
    expect((await failureOf(saveModel(bare, place('x'), { table }))).message).toContain('its first layer should be table.input()')
    const price = await trained('price')
    expect((await failureOf(saveModel(price.model, place('x'), { table: price.table, threshold: 0.4 }))).message).toContain('two classes')
  })

  test('at serving: records with wrong columns', async () => {
    const loaded = await loadModel(place('a.model'))
    const refusal = (record: unknown) => {
      try {
        loaded.predictRecords([record])
      } catch (error) {
        return (error as Error).message
      }
      return ''
    }
    expect(refusal({ plan: 'pro' })).toContain("the column 'spend' is missing")
    expect(refusal({ plan: 'pro', spend: 1, shoe: 2 })).toContain("'shoe' is unknown")
    expect(refusal(JSON.parse('{"plan":"pro","spend":1,"__proto__":1}'))).toContain("'__proto__' is unknown")
    expect(refusal({ plan: 'pro', spend: 'many' })).toContain('expected a number')
    // A failure leaves the next one whole.
    expect(loaded.predictRecords([{ plan: 'pro', spend: 3 }])[0]?.churned).toBe('no')
  })

  test('a model without a table says so; files of before load', async () => {
    const model = new Sequential(new Linear(2, 1))
    await saveModel(model, place('plain.model'))
    const loaded = await loadModel(place('plain.model'))
    expect(loaded.table).toBeUndefined()
    expect(loaded.metadata).toEqual({})
    expect(() => loaded.predictRecords([{}])).toThrow('saved without a table')
  })

  test('a file whose table is damaged is refused with a code', async () => {
    const bytes = readFileSync(place('a.model'))
    const text = bytes.toString('latin1')
    for (const [from, to] of [
      ['\\"kind\\":\\"category\\"', '\\"kind\\":\\"categorx\\"'],
      ['\\"task\\":\\"classes\\"', '\\"task\\":\\"clesses\\"'],
      ['\\"threshold\\":0.4', '\\"threshold\\":9.4'],
    ] as const) {
      expect(text).toContain(from)
      writeFileSync(place('bad.model'), Buffer.from(text.replace(from, to), 'latin1'))
      expect((await failureOf(loadModel(place('bad.model')))).code).toBe('ERR_FILE')
    }
  })
})

test('mutated files of models with tables load, or are refused with a code; and so are records', async () => {
  const files = ['a.model', 'b.model', 'c.model'].map((name) => new Uint8Array(readFileSync(place(name))))
  const refusals = await fuzz(files, (bytes) => decodeModel(bytes).predictRecords([{ plan: 'pro', spend: 3 }]))
  expect(refusals).toBeGreaterThan(0)
})

describe('after training', () => {
  test('a temperature makes probabilities as sure as they are right', async () => {
    // Labels that follow the class four times in five: a model that is too sure is cooled.
    const noisy = await readTable(
      Array.from({ length: 2000 }, (_, i) => ({ x: i % 2, y: (i % 5 === 4 ? 1 - (i % 2) : i % 2) ? 'yes' : 'no' })),
    )
    const table = fitTable(noisy, { target: 'y', columns: { x: number({ scale: 'none' }) } })
    const model = new Linear(1, 2)
    model.weight.assign(tensor([[-8], [8]]))
    model.bias?.assign(tensor([4, -4]))
    const sure = new Sequential(model)
    const temperature = calibrate(sure, table, noisy)
    const right = Math.log(0.8 / 0.2)
    expect(8 / temperature).toBeCloseTo(right, 1)
    const p = new TablePredictor(sure, table, { temperature }).values(noisy)
    const y = table(noisy).y.data
    expect(calibrationError(p, 2, y)).toBeLessThan(0.01)
    expect(calibrationError(new TablePredictor(sure, table).values(noisy), 2, y)).toBeGreaterThan(0.15)
  })

  test('thresholds for what they are chosen for', () => {
    const p = [0.05, 0.1, 0.2, 0.3, 0.35, 0.6]
    const y = [0, 0, 1, 0, 1, 1]
    expect(chooseThreshold(p, y, { for: { falsePositive: 1, falseNegative: 10 } })).toBeCloseTo(0.15, 9)
    expect(chooseThreshold(p, y, { for: { falsePositive: 10, falseNegative: 1 } })).toBeCloseTo(0.325, 9)
    expect(chooseThreshold(p, y)).toBeCloseTo(0.15, 9)
    expect(chooseThreshold(p, y, { for: 'accuracy' })).toBeCloseTo(0.325, 9)
    // Better none than the first, where a false alarm costs too much, or where none is nearly always right.
    const hard = [0.3, 0.2, 0.2, 0.1]
    expect(chooseThreshold(hard, [0, 0, 1, 0], { for: 'accuracy' })).toBeCloseTo(0.65, 9)
    expect(chooseThreshold(hard, [0, 1, 0, 1], { for: { falsePositive: 9, falseNegative: 1 } })).toBeCloseTo(0.65, 9)
    expect(chooseThreshold(hard, [0, 0, 1, 0])).toBeCloseTo(0.15, 9)
    expect(() => chooseThreshold(p, [0, 0, 0, 0, 0, 0])).toThrow('rows of both classes')
    expect(() => chooseThreshold(p, y, { for: 'f2' as never })).toThrow('f1')
  })

  test('scores are those of scikit-learn', () => {
    // sklearn.metrics: average_precision_score, roc_auc_score, log_loss, brier_score_loss
    const y = [0, 0, 1, 1, 0, 1]
    const p = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4]
    expect(averagePrecision(p, y)).toBeCloseTo(0.7, 12)
    expect(areaUnderRoc(p, y)).toBeCloseTo(0.6666666666666667, 12)
    const both = p.flatMap((q) => [1 - q, q])
    expect(meanLogLoss(both, 2, y)).toBeCloseTo(0.5527113618128084, 12)
    expect(brierScore(both, 2, y)).toBeCloseTo(0.19208333333333336, 12)
  })
})

describe('rows, records and a loaded file give the same answers, for every kind of column', () => {
  const mixed = Array.from({ length: 240 }, (_, i) => ({
    plain: (i * 7) % 50,
    log: i % 9 === 0 ? null : Math.exp(i % 9),
    quantiles: (i * i) % 97,
    comma: `${i % 17},${i % 10}`,
    few: i % 11 === 0 ? null : (['a', 'b', 'c'][i % 3] as string),
    rare: ['x', 'y', 'z', 'w'][i % 40 === 1 ? 3 : i % 3] as string,
    many: `city ${i % 23}`,
    zone: 1 + (i % 3),
    truth: i % 2 ? 'yes' : 'no',
    day: `2025-${String(1 + (i % 12)).padStart(2, '0')}-${String(1 + (i % 28)).padStart(2, '0')}T0${i % 10}:30:00+02:00`,
    written: `${String(1 + (i % 28)).padStart(2, '0')}.0${1 + (i % 9)}.2025`,
    words: `ticket ${i} about ${i % 2 ? 'billing and refunds' : 'slow loading pages'}`,
    left: (i * 7) % 50 > 25 ? 'yes' : 'no',
  }))
  const engines = (['js', 'native'] as const).filter((name) => {
    try {
      setBackend(name)
      return true
    } catch {
      return false
    }
  })
  afterEach(() => setBackend(engines.includes('native') ? 'native' : 'js'))

  test.each(engines)('on %s', async (engine) => {
    setBackend(engine)
    const table = fitTable((await readTable(mixed)).head(160), {
      target: 'left',
      columns: { log: number({ log: true }), quantiles: number({ scale: 'quantiles' }), rare: category({ rare: 10 }), zone: category() },
    })
    expect(new Set(table.columns.filter(({ role }) => role === 'feature').map(({ kind }) => kind))).toEqual(
      new Set(['number', 'category', 'boolean', 'date', 'text']),
    )
    const model = new Sequential(
      table.input({ rng: rng() }),
      new Linear(table.width, 8, { rng: rng() }),
      new ReLU(),
      new Linear(8, 2, { rng: rng() }),
    )
    const trainer = new MBSGD(model, { loss: table.loss, optimizer: adam({ learningRate: 0.01 }), batchSize: 16 })
    await trainer.fit(table((await readTable(mixed)).head(160)), { epochs: 3, seed: 1 })
    const other = (await readTable([...mixed.slice(160), { ...(mixed[3] as object), few: 'new', many: null, left: 'no' }])) as Table
    const z = model.predict(table(other).x).data
    await saveModel(model, place(`kinds-${engine}.model`), { table })
    const loaded = await loadModel(place(`kinds-${engine}.model`))
    const bare = [...other].map(({ left: _, ...record }) => record)
    const fromRows = loaded.predictRecords<{ left: 'no' | 'yes' }>(other)
    expect(loaded.predictRecords(bare)).toEqual(fromRows)
    expect(loaded.predictRecords(JSON.parse(JSON.stringify(bare)))).toEqual(fromRows)
    for (const [i, { probabilities, left }] of fromRows.entries()) {
      const p = 1 / (1 + Math.exp((z[2 * i] as number) - (z[2 * i + 1] as number)))
      expect(probabilities?.yes).toBeCloseTo(p, 12)
      expect(left).toBe(p > 0.5 ? 'yes' : 'no')
    }
  })
})

test('whatever is in the rows held out, what was fitted is the same, bit for bit, and so are the features', async () => {
  const known = await readTable(records)
  const wild = await readTable(records.map((r, i) => (i < 200 ? r : { ...r, plan: `p${i}`, spend: 1e6 * i, churned: 'yes' })))
  const positions = Array.from({ length: 200 }, (_, i) => i)
  const [a, b] = [known, wild].map((all) => fitTable(all.take(positions).without('price', 'tags'), { target: 'churned' }))
  expect(JSON.stringify(b)).toBe(JSON.stringify(a))
  const [x, y] = [a, b].map((table, i) => table?.((i === 0 ? known : wild).take(positions).without('price', 'tags')).x.data)
  expect(Buffer.from((x as Float32Array).buffer).equals(Buffer.from((y as Float32Array).buffer))).toBe(true)
})
