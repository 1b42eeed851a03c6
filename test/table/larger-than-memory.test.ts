/** Sources larger than the memory for them: read as streams, trained on by a random part or batch by batch. */

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { fitTable, loss, nn, Random, readTable, SGD, streamTable } from '../../lib/index.js'

const library = new URL('../../dist/lib/index.js', import.meta.url)
const rowsOf = (from: number, count: number) =>
  Buffer.from(
    Array.from(
      { length: count },
      (_, i) => `${from + i},${(from + i) % 7},kind ${(from + i) % 3},${(from + i) % 7 > 3 ? 'yes' : 'no'}\n`,
    ).join(''),
  )

/** A CSV of so many thousand rows, piece by piece. */
async function* source(thousands: number) {
  yield Buffer.from('id,a,kind,y\n')
  for (let i = 0; i < thousands; i++) yield rowsOf(1000 * i, 1000)
}

test('rows that have no room are chosen at random from all of the source', async () => {
  const rows = await readTable(source(100), { memory: 1 << 18, seed: 3 })
  expect(rows.seen).toBe(100_000)
  expect(rows.length).toBeGreaterThan(2000)
  expect(rows.length).toBeLessThan(50_000)
  expect(rows.bytes).toBeLessThan(2 ** 19)
  const ids = rows.column('id').numbers()
  expect(ids.every((id, i) => i === 0 || id > (ids[i - 1] as number))).toBe(true)
  const mean = ids.reduce((a, b) => a + b) / ids.length
  // Five standard errors of the mean of a uniform draw.
  expect(Math.abs(mean - 50_000)).toBeLessThan((5 * 100_000) / Math.sqrt(12 * ids.length))
})

test('a stream of tables trains a model that has never seen all of it', async () => {
  const table = fitTable((await readTable(source(1))).without('id'), { target: 'y' })
  const model = new nn.Sequential(table.input(), new nn.Linear(table.width, table.outputs, { rng: new Random(1) }))
  const trainer = new SGD(model, { loss: table.loss, learningRate: 0.5 })
  const { updates, samples } = await trainer.fitStream(
    (async function* () {
      for await (const rows of streamTable(source(40), { rows: 256 })) {
        const { x, y } = table(rows.without('id'))
        yield { x, y }
      }
    })(),
  )
  expect([updates, samples]).toEqual([Math.ceil(40_000 / 256), 40_000])
  const { cost } = await new SGD(model, { loss: loss.crossEntropy, learningRate: 0.1 }).evaluate(
    table((await readTable(source(2))).without('id')),
  )
  expect(cost).toBeLessThan(0.3)
})

/** The most memory that a process takes to read so many copies of some megabytes, in bytes. */
function peak(copies: number): number {
  const script = `
    const { readTable } = await import(${JSON.stringify(library.href)})
    const piece = Buffer.from(Array.from({ length: 20000 }, (_, i) => i + ',' + (i * 7) % 1000 + '.5,name ' + i % 50 + ',2026-01-' + String(1 + i % 28).padStart(2, '0') + '\\n').join(''))
    async function* source() { yield Buffer.from('a,b,c,d\\n'); for (let i = 0; i < ${copies}; i++) yield piece }
    const rows = await readTable(source(), { memory: 2 ** 20 })
    if (rows.seen !== 20000 * ${copies}) throw new Error('rows are missing')
    console.log(process.resourceUsage().maxRSS * 1024)`
  const { stdout, stderr } = spawnSync(process.execPath, ['--max-old-space-size=64', '--input-type=module', '-e', script], {
    encoding: 'utf8',
  })
  if (stdout === '') throw new Error(stderr)
  return Number(stdout)
}

const built = existsSync(fileURLToPath(library))
test.skipIf(!built)(`memory does not grow with the source${built ? '' : ' (skipped: it needs dist/)'}`, () => {
  const [few, many] = [peak(4), peak(80)]
  // 50 MB more of text.
  expect(many - few).toBeLessThan(30 * 2 ** 20)
})

test('rows and their x take less than two and a half times their text', async () => {
  const rng = new Random(1)
  const n = 20_000
  const draws = Array.from({ length: 18 }, () => rng.uniform([n]).data)
  const draw = (k: number, i: number) => (draws[k] as ArrayLike<number>)[i] as number
  const line = (i: number) =>
    [
      ...Array.from({ length: 10 }, (_, k) => (k % 2 ? Math.floor(draw(k, i) * 1000) : (draw(k, i) * 100 - 50).toFixed(3))),
      ...Array.from({ length: 6 }, (_, k) => (draw(10 + k, i) < 0.05 ? '' : `v${k}_${Math.floor(draw(10 + k, i) * 12)}`)),
      new Date(Date.UTC(2020, 0, 1 + Math.floor(draw(16, i) * 1500))).toISOString().slice(0, 10),
      `K${i}`,
      draw(17, i) < 0.3 ? 'yes' : 'no',
    ].join(',')
  const names = [...Array.from({ length: 16 }, (_, k) => `c${k}`), 'day', 'id', 'y'].join(',')
  const text = `${names}\n${Array.from({ length: n }, (_, i) => line(i)).join('\n')}\n`
  const rows = await readTable([Buffer.from(text)])
  const table = fitTable(rows, { target: 'y' })
  const { x } = table(rows)
  // One column of x for each column of numbers and for each of categories, whatever they become later.
  expect(table.width).toBeGreaterThan(80)
  expect(x.shape).toEqual([n, 21])
  expect((rows.bytes + 4 * x.size) / text.length).toBeLessThan(2.5)
})
