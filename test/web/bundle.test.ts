/** The bundles of `wengert/web`, run where nothing of Node is in reach; test/browser/web.mjs opens them in a browser. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as wengert from '../../lib/index.js'
import * as imageLayers from '../../lib/nn/image-layers.js'
import { ofImages } from '../../lib/web/layers-later.js'
import * as predict from '../../lib/web/predict.js'
import * as web from '../../lib/web.js'

const { encodeModel, fitTable, MBSGD, nn, Random, readTable, setBackend } = wengert
const script = '../../scripts/package/web.mjs'
const { bundleWeb } = (await import(script)) as {
  bundleWeb(lib: string, to: string, extension: string): Promise<{ fileName: string; code: string; imports: string[] }[]>
}

const folder = mkdtempSync(join(tmpdir(), 'wengert-web-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files: Awaited<ReturnType<typeof bundleWeb>>
beforeAll(async () => {
  files = await bundleWeb(fileURLToPath(new URL('../../lib', import.meta.url)), folder, '.ts')
}, 120_000)

/** Runs a module's body without the globals that a page lacks; it gives what it hands to `tell`. */
function inPage(body: string): unknown {
  const path = join(folder, `page-${Math.random().toString(36).slice(2)}.mjs`)
  const write = 'const { writeSync } = process.getBuiltinModule("node:fs"); const tell = (x) => writeSync(1, JSON.stringify(x))'
  const hide = 'for (const name of ["process", "Buffer", "SharedArrayBuffer", "setImmediate", "global"]) delete globalThis[name]'
  writeFileSync(path, `${write}\n${hide}\n${body}`)
  return JSON.parse(execFileSync(process.execPath, [path], { encoding: 'utf8' }))
}
const load = (name: string) => `await import(${JSON.stringify(pathToFileURL(join(folder, name)).href)})`
const bytes = (model: Uint8Array) => `Uint8Array.from(${JSON.stringify(Array.from(model))})`

const rng = new Random(3)
const model = new nn.Sequential(
  new nn.Linear(4, 16, { rng }),
  new nn.LayerNorm(16),
  new nn.GELU(),
  new nn.Dropout(0.5),
  new nn.Linear(16, 3, { rng }),
)
const x = rng.normal([5, 4])

describe('wengert/web', () => {
  test('to predict takes at most 60 kB, gzipped', () => {
    const needed = new Set(['web/predict.js'])
    for (const name of needed) for (const next of files.find(({ fileName }) => fileName === name)?.imports ?? []) needed.add(next)
    expect(needed.size).toBeGreaterThan(1)
    const all = files.filter(({ fileName }) => needed.has(fileName))
    expect(all.length).toBe(needed.size)
    expect(all.reduce((sum, { code }) => sum + gzipSync(code, { level: 9 }).length, 0)).toBeLessThanOrEqual(60_000)
  })

  test('imports nothing of Node', () => {
    for (const { code } of files) expect(code).not.toMatch(/\b(?:from|import|require)\s*\(?\s*["'`](?:node:|fs|path|module)/)
  })

  test.each(['web.js', 'web/predict.js'])('%s loads a model from bytes, and predicts as Node does', (name) => {
    const told = inPage(`const { loadModel, tensor, backend } = ${load(name)}
      const model = await loadModel(${bytes(encodeModel(model, { classes: ['a', 'b', 'c'] }))})
      const y = model.predict(tensor(${JSON.stringify(x.toArray())}))
      const one = model.predict(${JSON.stringify(Array.from(x.data.subarray(0, 4)))})
      tell({ y: Array.from(y.data), classes: model.classesOf(y), one: one.shape, name: backend().name, async: Array.from((await model.predictAsync(tensor(${JSON.stringify(x.toArray())}))).data) })`) as {
      y: number[]
      classes: string[]
      one: number[]
      name: string
      async: number[]
    }
    const expected = model.predict(x)
    for (const [i, value] of expected.data.entries()) expect(told.y[i]).toBeCloseTo(value, 5)
    expect(told.async).toEqual(told.y)
    expect(told.classes).toEqual(Array.from(expected.argmax(1).data, (i) => 'abc'[i]))
    expect(told).toMatchObject({ one: [3], name: 'js' })
  })

  test('differentiates and trains as the JavaScript engine does in Node', async () => {
    const program = `const rng = new Random(1)
      const model = new nn.Sequential(new nn.Linear(2, 8, { rng }), new nn.Tanh(), new nn.Linear(8, 1, { rng }))
      const data = { x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [[0], [1], [1], [0]] }
      const trainer = new MBSGD(model, { loss: loss.squaredError, learningRate: 0.2, batchSize: 2 })
      const history = await trainer.fit(data, { epochs: 300, seed: 1 })
      return [history.last.cost, hessian((v) => v.pow(3).sum())(tensor([1, 2])).toArray(), Array.from(model.parameters()[0].data)]`
    const names = '{ nn, loss, MBSGD, Random, tensor, hessian }'
    const told = inPage(`const ${names} = ${load('web.js')}\ntell(await (async () => {${program}})())`)
    setBackend('js')
    const run = async ({ nn, loss, MBSGD, Random, tensor, hessian }: typeof wengert) => {
      const rng = new Random(1)
      const model = new nn.Sequential(new nn.Linear(2, 8, { rng }), new nn.Tanh(), new nn.Linear(8, 1, { rng }))
      const data = {
        x: [
          [0, 0],
          [0, 1],
          [1, 0],
          [1, 1],
        ],
        y: [[0], [1], [1], [0]],
      }
      const trainer = new MBSGD(model, { loss: loss.squaredError, learningRate: 0.2, batchSize: 2 })
      const history = await trainer.fit(data, { epochs: 300, seed: 1 })
      const second = hessian((v) => v.pow(3).sum())(tensor([1, 2])).toArray()
      return [history.last?.cost, second, Array.from(model.parameters()[0]?.data as Float32Array)]
    }
    expect(told).toEqual(await run(wengert))
  })

  test('a model that answers to records brings what it needs', async () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({ size: i % 7, town: i % 2 ? 'Ulm' : 'Bonn', sold: i % 7 > 3 ? 'yes' : 'no' }))
    const known = await readTable(rows)
    const table = fitTable(known, { target: 'sold' })
    const answering = new nn.Sequential(
      table.input({ rng }),
      new nn.Linear(table.width, 4, { rng }),
      new nn.Tanh(),
      new nn.Linear(4, table.outputs, { rng }),
    )
    await new MBSGD(answering, { loss: table.loss, learningRate: 0.1, batchSize: 8 }).fit(table(known), { epochs: 20, seed: 1 })
    const kept = encodeModel(answering, { table })
    const expected = wengert.decodeModel(kept).predictRecords(rows.slice(0, 3))
    for (const name of ['web.js', 'web/predict.js']) {
      const told = inPage(`const { loadModel } = ${load(name)}
        const model = await loadModel(new Blob([${bytes(kept)}]))
        tell(model.predictRecords(${JSON.stringify(rows.slice(0, 3))}))`) as { probability?: number }[]
      expect(told.map((one) => Object.keys(one))).toEqual(expected.map((one) => Object.keys(one)))
      told.forEach((one, i) => {
        expect(one.probability).toBeCloseTo((expected[i] as { probability: number }).probability, 5)
      })
    }
  })

  test('a model with layers over sequences brings them', async () => {
    const recurrent = new nn.Sequential(new nn.LSTM(4, 3, { bidirectional: true, rng }), new nn.LastStep(), new nn.Linear(6, 2, { rng }))
    const series = rng.normal([2, 5, 4])
    const expected = recurrent.predict(series)
    const gru = new nn.GRU(4, 3, { rng })
    const steps = gru.forward(series.gather([0])).output
    for (const name of ['web.js', 'web/predict.js']) {
      const told = inPage(`const { loadModel, tensor } = ${load(name)}
        const model = await loadModel(${bytes(encodeModel(recurrent))})
        const stepper = (await loadModel(${bytes(encodeModel(gru))})).stepper()
        const steps = ${JSON.stringify(series.gather(0).toArray())}.map((row) => Array.from(stepper.step(row).data))
        tell([...model.predict(tensor(${JSON.stringify(series.toArray())})).data, ...steps.flat()])`) as number[]
      for (const [i, value] of [...expected.data, ...steps.data].entries()) expect(told[i], name).toBeCloseTo(value, 5)
    }
  })

  test('a model with layers over images brings them', async () => {
    const seeing = new nn.Sequential(
      new nn.RandomHorizontalFlip(),
      new nn.Conv2d(2, 3, 3, { padding: 1, rng }),
      new nn.MaxPool2d(2),
      new nn.GlobalAvgPool2d(),
      new nn.Linear(3, 2, { rng }),
    )
    const pictures = rng.normal([2, 2, 6, 6])
    const expected = seeing.predict(pictures)
    for (const name of ['web.js', 'web/predict.js']) {
      const told = inPage(`const { loadModel, tensor } = ${load(name)}
        const model = await loadModel(${bytes(encodeModel(seeing))})
        tell(Array.from(model.predict(tensor(${JSON.stringify(pictures.toArray())})).data))`) as number[]
      for (const [i, value] of expected.data.entries()) expect(told[i], name).toBeCloseTo(value, 5)
    }
    for (const file of Object.values(imageLayers))
      for (const [name, type] of Object.entries(file)) if (type.prototype instanceof nn.Module) expect(ofImages(name), name).toBe(true)
  })

  test('what is no model, an answer of a server that is none, and files are refused', () => {
    const code = (body: string) =>
      inPage(`const web = ${load('web.js')}\ntry { ${body}; tell('nothing') } catch (error) { tell(error.code) }`)
    expect(code('await web.loadModel("digits.model")')).toBe('ERR_VALUE')
    expect(code('await web.loadModel(undefined)')).toBe('ERR_VALUE')
    expect(code('await web.loadModel({ ok: false, status: 404, arrayBuffer: async () => new ArrayBuffer(8) })')).toBe('ERR_FILE')
    expect(code('await web.loadModel(new Uint8Array([1, 2, 3]))')).toBe('ERR_FILE')
    expect(code('web.setBackend("native")')).toBe('ERR_BACKEND')
    const saved = 'new web.FBGD(new web.nn.Linear(1, 1), { loss: web.loss.mse, learningRate: 1 })'
    expect(code(`await ${saved}.save('x')`)).toBe('ERR_FILE')
    const fit = `await ${saved}.fit({ x: [[1]], y: [[1]] }, { epochs: 1, checkpoint: { path: 'x' } })`
    expect(code(fit)).toBe('ERR_FILE')
    expect(inPage(`const web = ${load('web/predict.js')}\ntell([typeof web.grad, typeof web.loadModel])`)).toEqual([
      'undefined',
      'function',
    ])
  })

  test('names what the library names by the same names', () => {
    const own = new Set(['loadModel', 'split', 'registerModule'])
    const all = wengert as Record<string, unknown>
    const names = [...Object.entries(web), ...Object.entries(predict)].filter(([name]) => !own.has(name))
    expect(names.length).toBeGreaterThan(100)
    expect(names.filter(([name, value]) => all[name] !== value).map(([name]) => name)).toEqual([])
    expect(predict.registerModule).toBe(nn.registerModule)
  })
})
