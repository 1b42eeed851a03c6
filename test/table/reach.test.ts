/** Values at the edges: too far for features, too large for a double's digits, labels of which there are none. */

import { describe, expect, test } from 'vitest'
import { readTable, streamTable } from '../../lib/io/table-source.js'
import '../../lib/primitives/methods.js'
import { Linear, Sequential } from '../../lib/nn/layers.js'
import { category } from '../../lib/table/category.js'
import { date } from '../../lib/table/date.js'
import { scoreTable } from '../../lib/table/evaluate.js'
import { fitTable } from '../../lib/table/fit.js'
import { ignore } from '../../lib/table/kinds.js'
import { boolean, number } from '../../lib/table/number.js'
import { TablePredictor } from '../../lib/table/predictor.js'
import { labels } from '../../lib/table/target.js'
import { text } from '../../lib/table/text.js'
import { Random } from '../../lib/tensor/random.js'

const records = Array.from({ length: 60 }, (_, i) => ({ a: i % 7, kind: ['x', 'z', 'q'][i % 3], y: i % 2 ? 'u' : 'v' }))
const rows = await readTable(records)
const table = fitTable(rows, { target: 'y' })
const model = new Sequential(table.input(), new Linear(table.width, 2, { rng: new Random(1) }))

describe('values too far from those of the training', () => {
  test('are refused by row and column, in tables as in records', async () => {
    const predictor = new TablePredictor(model, table, { outputs: 'classLogits' })
    expect(() => predictor.predict([{ a: 1e300, kind: 'x' }])).toThrow("record 0, column 'a': 1e+300 is too far from the training values")
    const far = await readTable([...records.slice(0, 3), { a: 1e300, kind: 'x', y: 'u' }])
    expect(() => predictor.predict(far)).toThrow("table: row 3, column 'a': 1e+300 is too far from the training values")
    await expect(scoreTable(model, table, far, { outputs: 'classLogits' })).rejects.toThrow("row 3, column 'a'")
    expect(predictor.predict(await readTable(records.slice(0, 3))).length).toBe(3)
  })
})

describe('integers that a double would round', () => {
  const lines = [9007199254740993n, 9007199254740995n, 9007199254740996n].map(
    (id, i) => `{"id": ${id}, "note": "at ${id} \\"${id}", "big": ${i + 1}00000000000000000000}`,
  )

  test('keep their digits in JSON lines, in texts as well; what a double holds stays a number', async () => {
    const read = await readTable([`${lines.join('\n')}\n`])
    expect([...read].map(({ id }) => id)).toEqual(['9007199254740993', '9007199254740995', '9007199254740996'])
    expect(read.record(0).note).toBe('at 9007199254740993 "9007199254740993')
    expect(read.record(2).big).toBe(3e20)
  })

  test('are numbers to a column of numbers, from records, texts and batches alike', async () => {
    const large = await readTable(records.map((record, i) => ({ ...record, a: 1e16 + i * 1e15 })))
    const fitted = fitTable(large, { target: 'y', columns: { a: number() } })
    const of = (a: unknown) => Array.from(fitted.encode([{ a, kind: 'x' }]).data)
    for (const a of ['12000000000000000', '1.2e16', 12000000000000000n]) expect(of(a)).toEqual(of(1.2e16))
    for await (const batch of streamTable([{ a: 1.2e16, kind: 'x', y: 'u' }])) expect(Array.from(fitted(batch).x.data)).toEqual(of(1.2e16))
    expect(() => of('0012')).toThrow('expected a number')
  })
})

describe('labels', () => {
  const tagged = records.map((record, i) => ({ a: record.a, tags: i % 3 === 0 ? null : i % 3 === 1 ? 'p;r' : 'r' }))

  test('none in a column of them is scored as none', async () => {
    const read = await readTable(tagged)
    const fitted = fitTable(read, { target: 'tags', columns: { tags: labels() } })
    const of = new Sequential(fitted.input(), new Linear(fitted.width, 2, { rng: new Random(1) }))
    const scores = await scoreTable(of, fitted, read, { outputs: 'logits' })
    expect(scores.rows).toBe(60)
    // A label that all rows of the part have, or none, has no area; the others do.
    const part = await scoreTable(of, fitted, read.take(Uint32Array.from({ length: 40 }, (_, i) => Math.floor(i / 2) * 3 + 1 + (i % 2))), {
      outputs: 'logits',
    })
    expect(part.rocAuc).toBeGreaterThanOrEqual(0)
  })
})

describe('columns', () => {
  test.each([number(), date(), boolean(), category(), text()])(
    'without any value in training are left out, whatever is said of them: %j',
    async (spec) => {
      const read = await readTable(records.map((record, i) => ({ ...record, late: null, i })))
      const fitted = fitTable(read, { target: 'y', columns: { late: spec, i: ignore() } })
      expect(fitted.columns.find(({ name }) => name === 'late')).toMatchObject({
        role: 'left out',
        says: 'without any value',
        guessed: false,
      })
      // A value that comes later must not count by chance.
      const [a, b] = ['2026-01-03', null].map((late) => Array.from(fitted.encode([{ a: 1, kind: 'x', late }]).data))
      expect(a).toEqual(b)
    },
  )

  test('categories that are dates and times are found as they are written', async () => {
    const written = records.map((record, i) => ({ ...record, day: `2024-01-0${1 + (i % 3)} 10:00` }))
    const fitted = fitTable(await readTable(written), { target: 'y', columns: { day: category({ rare: 1 }) } })
    const of = (day: unknown) => Array.from(fitted.encode([{ a: 1, kind: 'x', day }]).data)
    const [first, second] = [of(new Date('2024-01-01T10:00Z')), of(new Date('2024-01-02T10:00Z'))]
    expect(first).not.toEqual(second)
    expect([of('2024-01-01 10:00'), of('2024-01-02T10:00:00Z')]).toEqual([first, second])
    expect(of('2024-01-01')).not.toEqual(first)
    for await (const batch of streamTable(written))
      expect(Array.from(fitted(batch).x.data)).toEqual(Array.from(fitted(await readTable(written)).x.data))
  })
})
