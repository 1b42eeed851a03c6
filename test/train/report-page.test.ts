/** The report: one page that needs nothing but itself, with what the histories hold. */

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FBGD, type History, loss, MBSGD, nn, Random, report, SGD } from '../../lib/index.js'
import { chart, figure, ticks } from '../../lib/train/report-charts.js'

let folder: string
let model: nn.Module
let histories: History[]
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wengert-report-'))
  const rng = new Random(1)
  const x = rng.normal([60, 4])
  const y = Int32Array.from({ length: 60 }, (_, i) => ((x.data[4 * i] as number) > 0 ? 1 : 0))
  const train = (make: (m: nn.Module) => FBGD | SGD | MBSGD) => {
    model = new nn.Sequential(new nn.Linear(4, 3, { rng }), new nn.Tanh(), new nn.Linear(3, 2, { rng }))
    return make(model).fit({ x, y }, { epochs: 5, seed: 1, health: true, validation: { x, y }, metrics: ['accuracy', 'confusionMatrix'] })
  }
  const own = { loss: loss.crossEntropy, learningRate: 0.1 }
  histories = [
    await train((m) => new FBGD(m, own)),
    await train((m) => new SGD(m, own)),
    await train((m) => new MBSGD(m, { ...own, batchSize: 8 })),
  ]
})
afterAll(() => rm(folder, { recursive: true }))

const write = async (given: Parameters<typeof report>[0], options: object = {}) => {
  const path = join(folder, 'page.html')
  await report(given, { path, ...options })
  return readFile(path, 'utf8')
}
const count = (text: string, part: string | RegExp) => text.split(part).length - 1

describe('the page', () => {
  test('stands alone: nothing is loaded, nothing runs', async () => {
    const page = await write(histories, { model })
    expect(page).not.toMatch(/https?:|<script|@import|url\(|src=/)
    expect(page.match(/<link[^>]*>/g)).toEqual(['<link rel="icon" href="data:,">'])
    expect(page).toContain('prefers-color-scheme:dark')
  })

  test('one training: curves of cost and accuracy, rate, two of health a parameter, the matrix, the summary', async () => {
    const one = histories[2] as History
    const page = await write(one, { model, classes: ['no', 'yes'] })
    // Training and validation of cost and accuracy; the rate; norms and ratios of four parameters.
    expect(count(page, '<polyline')).toBe(2 + 2 + 1 + 8)
    for (const name of ['Cost', 'Accuracy', 'Learning rate', 'Gradient norm of each parameter', 'Confusion matrix', 'Model'])
      expect(page).toContain(`<figcaption>${name}</figcaption>`)
    const cells = [...page.matchAll(/title="(no|yes) as (no|yes): (\d+) of (\d+)"/g)].map((m) => Number(m[3]))
    expect(cells).toEqual(one.last?.validation?.confusionMatrix?.flat())
    expect(page).toContain('Linear 4 → 3')
  })

  test('three compared: a row and curves each', async () => {
    const page = await write(histories)
    for (const name of ['FBGD', 'SGD', 'MBSGD']) {
      expect(page).toContain(`<td>${name}</td>`)
      expect(page).toContain(`${name}, validation`)
    }
    expect(count(page, 'Confusion matrix, ')).toBe(3)
    const twice = await write([histories[0] as History, histories[0] as History])
    expect(twice).toContain('<td>FBGD 2</td>')
    const own = await write({ 'a < b': histories[0] as History, c: histories[1] as History })
    expect(own).toContain('a &lt; b')
    expect(own).not.toContain('a < b')
  })

  test('titles are text, not markup', async () => {
    const page = await write(histories[0] as History, { title: '<script>alert(1)</script>' })
    expect(page).not.toContain('<script')
  })

  test('a history without epochs, and one of a single epoch', async () => {
    const one = histories[0] as History
    expect(await write({ ...one, epochs: [], last: undefined })).not.toContain('<svg')
    const page = await write({ ...one, epochs: one.epochs.slice(0, 1) })
    expect(count(page, '<circle')).toBe(13)
    expect(page).not.toMatch(/NaN|Infinity|undefined/)
  })
})

describe('charts', () => {
  test('ticks are round and within', () => {
    expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1])
    expect(ticks(3, 47, 8)).toEqual([10, 20, 30, 40])
    expect(ticks(-0.3, 0.3, 5)).toEqual([-0.2, 0, 0.2])
  })

  test('figures are short', () => {
    expect([0, 0.123456, 12345678, 1e-7, 100, 0.1 + 0.2].map(figure)).toEqual(['0', '0.1235', '1.23e7', '1e-7', '100', '0.3'])
  })

  test('a long curve is thinned and keeps its ends and its spike', () => {
    const n = 20000
    const y = Array.from({ length: n }, (_, i) => (i === 12345 ? 50 : 1))
    const text = chart('Cost', 'epoch', [{ label: 'a', color: 0, x: y.map((_, i) => i + 1), y }])
    const points = (/points="([^"]+)"/.exec(text)?.[1] ?? '').split(' ')
    expect(points.length).toBeLessThan(1000)
    const heights = points.map((p) => Number(p.split(',')[1]))
    expect(Math.min(...heights)).toBeLessThan(30)
    expect(points[0]?.split(',')[0]).toBe('64.0')
    expect(points[points.length - 1]?.split(',')[0]).toBe('704.0')
  })

  test('wide ranges above 0 are logarithmic, values that are not numbers are left out', () => {
    const text = chart('Cost', 'epoch', [{ label: 'a', color: 0, x: [1, 2, 3, 4, 5], y: [1000, 10, NaN, 0.1, 0.001] }])
    expect(text).toContain('>100<')
    expect(text).not.toContain('NaN')
    const [first, second] = (/points="([^"]+)"/.exec(text)?.[1] ?? '').split(' ').map((p) => Number(p.split(',')[1]))
    const last = Number(/points="[^"]*,([\d.]+)"/.exec(text)?.[1])
    expect(((second as number) - (first as number)) / (last - (first as number))).toBeCloseTo(2 / 6, 1)
  })
})

test('misuse is refused by name', async () => {
  const one = histories[0] as History
  await expect(write([] as never)).rejects.toMatchObject({ code: 'ERR_VALUE' })
  await expect(write([{}] as never)).rejects.toMatchObject({ code: 'ERR_VALUE' })
  await expect(write(undefined as never)).rejects.toMatchObject({ code: 'ERR_VALUE' })
  await expect(write(one, { path: '' })).rejects.toMatchObject({ code: 'ERR_VALUE' })
  await expect(write(one, { model: 3 })).rejects.toMatchObject({ code: 'ERR_VALUE' })
  await expect(write(one, { confusion: [[1, 2]] })).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  await expect(write(one, { classes: ['a'] })).rejects.toMatchObject({ code: 'ERR_SHAPE' })
  await expect(write(one, { titel: 'x' })).rejects.toThrow(/did you mean 'title'/)
  await expect(write(one, { path: join(folder, 'no', 'page.html') })).rejects.toMatchObject({ code: 'ERR_FILE' })
})

describe('images on the page', () => {
  const x = new Random(2).uniform([40, 1, 4, 4])
  const y = Int32Array.from({ length: 40 }, (_, i) => i % 3)
  const network = () =>
    new nn.Sequential(
      new nn.Conv2d(1, 5, 3, { rng: new Random(1) }),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(20, 3, { rng: new Random(2) }),
    )
  const tilesOf = (page: string, title: string) => {
    const figure = (page.split(`<figcaption>${title}`)[1] ?? '').split('</figure>')[0] as string
    return [...figure.matchAll(/<\/svg>([^<]*)<\/li>/g)].map((m) => m[1] as string)
  }

  test('samples, filters, and exactly the wrong answers', async () => {
    const own = network()
    const page = await write(histories[2] as History, { model: own, images: { x, y }, classes: undefined, confusion: [[1]] })
    expect(page).not.toMatch(/https?:|<script|@import|url\(|src=/)
    expect(tilesOf(page, 'Samples')).toEqual(Array.from({ length: 24 }, (_, i) => String(i % 3)))
    expect(tilesOf(page, 'Filters of the first layer')).toEqual(['1', '2', '3', '4', '5'])
    const said = Array.from(own.predict(x).argmax(1).data)
    const wrong = said.flatMap((k, i) => (k === y[i] ? [] : [`${y[i]} as ${k}`]))
    expect(wrong.length).toBeGreaterThan(0)
    expect(page).toContain(`Wrong answers: ${wrong.length} of 40`)
    const shown = tilesOf(page, 'Wrong answers')
    expect(shown.length).toBe(Math.min(24, wrong.length))
    if (wrong.length <= 24) expect([...shown].sort()).toEqual([...wrong].sort())
    // The first pixel of the first sample, between the darkest and the brightest of all.
    const bytes = Buffer.from((page.match(/base64,([^"]*)"/) as RegExpMatchArray)[1] as string, 'base64')
    const values = Array.from(x.data)
    const [low, high] = [Math.min(...values), Math.max(...values)]
    expect(bytes.length).toBe(54 + 12 * 4)
    expect(bytes[54 + 3 * 12]).toBe(Math.round((255 * ((values[0] as number) - low)) / (high - low)))
  })

  test('colour, names of classes, and no model', async () => {
    const colour = { x: new Random(3).uniform([2, 3, 2, 2]), y: [0, 1], classes: ['cat', '<dog>'] }
    const page = await write(histories[2] as History, { images: colour })
    expect(tilesOf(page, 'Samples')).toEqual(['cat', '&lt;dog&gt;'])
    expect(page).not.toContain('Wrong answers')
  })

  test('what is no image is refused', async () => {
    await expect(write(histories[2] as History, { images: { x: [[1, 2]], y: [0] } })).rejects.toThrow(/\[m, C, H, W\], got \[1, 2\]/)
  })
})
