/** Fitted tables: fitted on the training part alone, the same features from rows and from records, what is refused, JSON. */

import { describe, expect, test } from 'vitest'
import { readTable } from '../../lib/io/table-source.js'
import '../../lib/primitives/methods.js'
import { category } from '../../lib/table/category.js'
import { date } from '../../lib/table/date.js'
import { type FitTableOptions, fitTable, tableFromJSON } from '../../lib/table/fit.js'
import { ignore } from '../../lib/table/kinds.js'
import { boolean, number } from '../../lib/table/number.js'
import { split } from '../../lib/table/split.js'
import type { Table } from '../../lib/table/table.js'
import { labels } from '../../lib/table/target.js'
import { text } from '../../lib/table/text.js'
import { Random } from '../../lib/tensor/random.js'

const failure = (body: () => unknown): { code?: string; message: string } => {
  try {
    body()
  } catch (error) {
    return error as { code: string; message: string }
  }
  return { message: 'nothing was refused' }
}

const cities = ['Bonn', 'Köln', 'Ulm', 'Jena', 'Trier']
const records = Array.from({ length: 400 }, (_, i) => ({
  id: `C-${1000 + i}`,
  joined: `2025-${String(1 + (i % 12)).padStart(2, '0')}-${String(1 + (i % 28)).padStart(2, '0')}`,
  plan: i % 11 === 0 ? null : (['free', 'basic', 'pro'][i % 3] as string),
  city: cities[i % 50 === 1 ? 3 + (i % 2) : i % 3] as string,
  spend: i % 13 === 0 ? null : Math.round(Math.exp((i % 50) / 10) * 100) / 100,
  active: i % 2 === 0,
  note: `ticket number ${i} about ${i % 2 ? 'billing and refunds' : 'slow loading pages'}`,
  constant: 'same',
  churned: i % 4 === 0 ? 'yes' : 'no',
}))
const rows = await readTable(records)
const options: FitTableOptions = { target: 'churned', columns: { city: category({ rare: 20 }), spend: number({ log: true }) } }
const everyKind: FitTableOptions = {
  target: 'churned',
  columns: {
    city: category({ as: 'embedding' }),
    spend: number({ scale: 'quantiles' }),
    plan: category({ as: 'oneHot' }),
    active: boolean(),
    joined: date(),
    note: text({ buckets: 16 }),
  },
}

describe('what is guessed, and said', () => {
  const table = fitTable(rows, options)
  test('kinds of columns', () => {
    const kinds = Object.fromEntries(table.columns.map(({ name, role, kind }) => [name, role === 'feature' ? kind : role]))
    expect(kinds).toEqual({
      id: 'left out',
      joined: 'date',
      plan: 'category',
      city: 'category',
      spend: 'number',
      active: 'boolean',
      note: 'text',
      constant: 'left out',
      churned: 'target',
    })
    const said = String(table)
    expect(said).toMatch(/id +left out: an identifier: nearly every row has its own \(guessed\)/)
    expect(said).toMatch(/constant +left out: always 'same' \(guessed\)/)
    expect(said).toMatch(/spend +number, logarithm, standardised; missing values marked\n/)
    expect(said).toMatch(/churned +target: 2 classes: no, yes \(guessed\)/)
  })

  test('features have names, and the target classes', () => {
    expect(table.features).toContain('plan=basic')
    expect(table.features).toContain('plan missing')
    expect(table.features).toContain('city other')
    expect(table.features).toContain('joined sin year')
    expect(table.classes).toEqual(['no', 'yes'])
    expect(table.width).toBe(table.features.length)
    const set = table(rows)
    expect(table.inputs).toContain('plan')
    expect(set.x.shape).toEqual([400, table.inputs.length])
    expect(set.y.dtype).toBe('int32')
    expect(Array.from(set.y.data.slice(0, 5))).toEqual([1, 0, 0, 0, 1])
    expect(set.features).toEqual(table.inputs)
  })
})

describe('fitted on the training part alone', () => {
  test('other rows change nothing, whatever is in them', async () => {
    const train = rows.take(Uint32Array.from({ length: 300 }, (_, i) => i))
    const alone = await readTable(records.slice(0, 300))
    const wild = await readTable([
      ...records.slice(0, 300),
      ...records
        .slice(300)
        .map((r) => ({ ...r, spend: 1e9, plan: `p${r.id}`, city: `x${r.id}`, active: true, churned: 'yes', joined: '1999-01-01' })),
    ])
    for (const how of [options, everyKind]) {
      const expected = JSON.stringify(fitTable(alone, how))
      expect(JSON.stringify(fitTable(train, how))).toBe(expected)
      expect(JSON.stringify(fitTable(wild.head(300), how))).toBe(expected)
    }
  })

  test('means and deviations are those of the part', () => {
    const [train] = split(rows, { parts: [0.5, 0.5], seed: 1 })
    const table = fitTable(train, { target: 'churned', columns: { spend: number() } })
    const x = table(train).x
    const at = table.inputs.indexOf('spend')
    const known = [...train].flatMap(({ spend }, i) => (spend === null ? [] : [x.data[i * table.inputs.length + at] as number]))
    const mean = known.reduce((a, b) => a + b, 0) / known.length
    const variance = known.reduce((a, b) => a + (b - mean) ** 2, 0) / known.length
    expect(mean).toBeCloseTo(0, 5)
    expect(variance).toBeCloseTo(1, 5)
  })
})

/** What the first layer makes of a record. */
const featuresOf = (table: ReturnType<typeof fitTable>, record: object): number[] =>
  Array.from(table.input({ rng: new Random(1) }).forward(table.encode([record])).data)

/** Rows to records and back: the features must be the same, bit for bit. */
function sameEitherWay(part: Table, table: ReturnType<typeof fitTable>): void {
  const fromRows = table(part).x
  const fromRecords = table.encode([...part])
  expect(fromRecords.shape).toEqual(fromRows.shape)
  expect(Array.from(fromRecords.data)).toEqual(Array.from(fromRows.data))
}

describe('training and serving see the same features', () => {
  test.each([options, everyKind, { ...everyKind, dtype: 'float64' as const }])('%#', (how) => {
    const [train, other] = split(rows, { parts: [0.6, 0.4], seed: 2 })
    const table = fitTable(train, how)
    sameEitherWay(train, table)
    sameEitherWay(other, table)
    const again = tableFromJSON(JSON.parse(JSON.stringify(table)))
    expect(JSON.stringify(again)).toBe(JSON.stringify(table))
    expect(Array.from(again(other).x.data)).toEqual(Array.from(table(other).x.data))
    expect(Array.from(again(other).y.data)).toEqual(Array.from(table(other).y.data))
  })

  test('a request may write numbers and truth as text, dates as Date', () => {
    const table = fitTable(rows, everyKind)
    const { id: _, churned: __, constant: ___, ...record } = records[17] as (typeof records)[0]
    const plain = table.encode([record])
    const other = table.encode([{ ...record, spend: String(record.spend), active: 'no', joined: new Date(`${record.joined}T00:00:00Z`) }])
    expect(Array.from(other.data)).toEqual(Array.from(plain.data))
  })

  test('numbers as categories are the same number however they are written', async () => {
    const zones = await readTable(records.map((r, i) => ({ zone: 1 + (i % 3), churned: r.churned })))
    const table = fitTable(zones, { target: 'churned', columns: { zone: category() } })
    expect(table.features).toEqual(['zone=1', 'zone=2', 'zone=3'])
    for (const zone of [2, '2', '2.0']) expect(featuresOf(table, { zone })).toEqual([0, 1, 0])
  })
})

describe('values that training did not have', () => {
  test('unknown categories take the place of the rare, or count as the average', () => {
    const table = fitTable(rows, { target: 'churned', columns: { city: category({ rare: 20 }), plan: category({ rare: 1 }) } })
    const full = { ...(records[1] as object) }
    const part = (record: object, prefix: string) => {
      const x = featuresOf(table, record)
      return table.features.flatMap((name, i) => (name.startsWith(prefix) ? [x[i] as number] : []))
    }
    expect(part({ ...full, city: 'Atlantis' }, 'city')).toEqual([0, 0, 0, 1])
    const average = part({ ...full, plan: 'enterprise' }, 'plan')
    expect(average.slice(0, 3).reduce((a, b) => a + b, 0)).toBeCloseTo(1 - 37 / 400, 5)
    expect(part({ ...full, plan: null }, 'plan')).toEqual([0, 0, 0, 1])
  })

  test('missing and unknown columns are refused by name; optional ones are not', () => {
    const table = fitTable(rows, options)
    const { id: _, constant: __, churned: ___, ...record } = records[1] as (typeof records)[0]
    expect(table.encode([record]).shape[0]).toBe(1)
    const { plan: ____, ...without } = record
    expect(failure(() => table.encode([record, without]))).toMatchObject({ code: 'ERR_DATA' })
    expect(failure(() => table.encode([record, without])).message).toContain("record 1: the column 'plan' is missing")
    expect(failure(() => table.encode([{ ...without, Plan: 'pro' }])).message).toContain("is it 'Plan'?")
    expect(failure(() => table.encode([{ ...record, shoe: 43 }])).message).toContain("the column 'shoe' is unknown")
    expect(failure(() => table(rows.without('plan'))).message).toContain("the column 'plan' is missing")
    const lenient = fitTable(rows, { ...options, unknown: 'ignore', columns: { ...options.columns, plan: category({ optional: true }) } })
    expect(lenient.encode([{ ...without, shoe: 43 }]).shape[0]).toBe(1)
    expect(lenient(rows.without('plan')).length).toBe(400)
  })

  test('NA is missing where training says so, and a category where it was one', async () => {
    const countries = records.map((r, i) => ({
      country: ['DE', 'NA', 'FR'][i % 3] as string,
      spend: i % 9 ? String(i % 40) : 'NA',
      churned: r.churned,
    }))
    const csv = ['country,spend,churned', ...countries.map((r) => Object.values(r).join(','))].join('\n')
    const { Readable } = await import('node:stream')
    const usual = fitTable(await readTable(countries), { target: 'churned' })
    expect(usual.features).toEqual(['spend', 'spend missing', 'country=DE', 'country=FR', 'country missing'])
    expect(Array.from(usual.encode([{ country: 'NA', spend: 'NA' }]).data)).toEqual(
      Array.from(usual.encode([{ country: null, spend: null }]).data),
    )
    expect(
      Array.from(fitTable(await readTable(Readable.from([csv])), { target: 'churned' }).encode([{ country: 'NA', spend: 1 }]).data),
    ).toEqual(Array.from(usual.encode([{ country: null, spend: 1 }]).data))
    for (const source of [countries, Readable.from([csv])]) {
      const told = await readTable(source, { missingValues: [''], types: {} })
      const table = fitTable(told.without('spend'), { target: 'churned' })
      expect(table.features).toEqual(['country=DE', 'country=FR', 'country=NA'])
      expect(featuresOf(table, { country: 'NA' })).toEqual([0, 0, 1])
    }
  })

  test('values of another kind are refused with record and column', () => {
    const table = fitTable(rows, everyKind)
    const record = records[1] as object
    for (const [wrong, expected] of [
      [{ spend: 'much' }, "record 0, column 'spend': expected a number, got 'much'"],
      [{ spend: [1] }, "column 'spend': expected a finite number"],
      [{ spend: Number.NEGATIVE_INFINITY }, 'expected a finite number'],
      [{ joined: '03.01.2026' }, "column 'joined': expected a date such as 2026-01-03"],
      [{ active: 'maybe' }, "column 'active': expected a truth value"],
      [{ note: { a: 1 } }, "column 'note'"],
    ] as const)
      expect(failure(() => table.encode([{ ...record, ...wrong }])).message).toContain(expected)
    expect(failure(() => table.encode([null])).message).toContain('record 0: expected an object')
    expect(failure(() => table.encode([])).message).toContain('at least one record')
    const far = fitTable(rows, { target: 'churned', columns: { spend: number() } })
    expect(failure(() => far.encode([{ ...record, spend: 1e300 }])).message).toContain('too far from the training values')
  })

  test('`__proto__` and its like are columns as any other', async () => {
    const odd = await readTable(
      records.map((r, i) =>
        Object.fromEntries([
          ['__proto__', i % 7],
          ['constructor', r.plan],
          ['toString', r.spend],
          ['churned', r.churned],
        ]),
      ),
    )
    const table = fitTable(odd, { target: 'churned' })
    expect(table.features).toContain('__proto__')
    sameEitherWay(odd, table)
    const again = tableFromJSON(JSON.parse(JSON.stringify(table)))
    expect(again.features).toEqual(table.features)
    expect(failure(() => table.encode([{}])).message).toContain("'__proto__' is missing")
  })
})

describe('kinds', () => {
  test('dates: neighbours on a circle are near', () => {
    const table = fitTable(rows, { target: 'churned', columns: { joined: date() } })
    const at = table.features.indexOf('joined sin year')
    const [a, b] = ['2025-12-31', '2026-01-01'].map((joined) =>
      table.encode([{ ...(records[1] as object), joined }]).data.slice(at, at + 2),
    )
    expect(Math.hypot((a?.[0] as number) - (b?.[0] as number), (a?.[1] as number) - (b?.[1] as number))).toBeLessThan(0.02)
    const week = table.features.indexOf('joined sin week')
    const days = ['2026-01-04', '2026-01-11', '2026-01-05'].map(
      (joined) => table.encode([{ ...(records[1] as object), joined }]).data[week],
    )
    expect(days[0]).toBeCloseTo(days[1] as number, 5)
    expect(days[0]).toBeCloseTo(0, 5)
    expect(days[2]).toBeCloseTo(Math.sin((2 * Math.PI) / 7), 5)
  })

  test('dates in a format of their own, strictly', async () => {
    const german = await readTable(records.map((r) => ({ day: r.joined.split('-').reverse().join('.'), churned: r.churned })))
    const table = fitTable(german, { target: 'churned', columns: { day: date({ format: 'DD.MM.YYYY' }) } })
    const iso = fitTable(rows, { target: 'churned', columns: { joined: date() } })
    const [a, b] = [table(german).x, iso(rows).x]
    const at = iso.inputs.indexOf('joined')
    for (let i = 0; i < 400; i++) expect(a.data[i * table.inputs.length]).toBe(b.data[i * iso.inputs.length + at])
    expect(failure(() => table.encode([{ day: '31.02.2026' }])).message).toContain('a date written as DD.MM.YYYY')
    expect(failure(() => table.encode([{ day: '2026-01-03' }])).code).toBe('ERR_DATA')
    const other = { target: 'churned', columns: { day: date({ format: 'YYYY-MM-DD' }) } }
    expect(failure(() => fitTable(german, other)).message).toContain("row 0, column 'day'")
  })

  test('quantiles are between −√3 and √3 and keep the order', () => {
    const table = fitTable(rows, { target: 'churned', columns: { spend: number({ scale: 'quantiles' }) } })
    const at = table.features.indexOf('spend')
    const z = [-1e9, 1, 2, 5, 20, 100, 1e9].map((spend) => table.encode([{ ...(records[1] as object), spend }]).data[at] as number)
    expect(z[0]).toBeCloseTo(-Math.sqrt(3), 5)
    expect(z.at(-1)).toBeCloseTo(Math.sqrt(3), 5)
    expect(z).toEqual([...z].sort((a, b) => a - b))
  })

  test('text: the same words give the same features, others others, and nothing is learned from it', () => {
    const table = fitTable(rows, { target: 'churned', columns: { note: text({ buckets: 64 }) } })
    const from = table.features.indexOf('note #0')
    const of = (note: string) => Array.from(table.encode([{ ...(records[1] as object), note }]).data.slice(from, from + 64))
    expect(of('Slow, loading PAGES!')).toEqual(of('slow loading pages'))
    expect(of('slow loading pages')).not.toEqual(of('billing'))
    expect(Math.hypot(...of('one two three'))).toBeCloseTo(1, 5)
    expect(of('').every((v) => v === 0)).toBe(true)
  })

  test('embeddings: codes come last, and the first layer looks them up', () => {
    const table = fitTable(rows, everyKind)
    expect(table.inputs.at(-1)).toBe('city')
    const input = table.input({ rng: new Random(1) })
    expect(input.width).toBe(table.width)
    const x = table.encode([records[1], { ...records[1], city: 'Atlantis' }, { ...records[1], city: null }])
    const y = input.forward(x).toArray() as number[][]
    const vector = (i: number) => (y[i] as number[]).slice(table.features.indexOf('city #0'))
    expect(vector(0).some((v) => v !== 0)).toBe(true)
    expect(vector(1).every((v) => v === 0)).toBe(true)
    expect(vector(2)).not.toEqual(vector(0))
  })
})

describe('targets', () => {
  test('numbers come scaled, several of them too', async () => {
    const set = await readTable(records.map((_, i) => ({ a: i % 50, price: Math.exp(i / 100), size: i * 2 })))
    const table = fitTable(set, { target: ['price', 'size'], columns: { price: number({ log: true }) } })
    expect(table.task).toBe('numbers')
    expect(table(set).y.shape).toEqual([400, 2])
  })

  test('several labels, in columns or in one text', async () => {
    const set = await readTable(
      records.map((_, i) => ({ a: i % 17, sport: i % 2 === 0, music: i % 3 === 0 ? 'yes' : 'no', tags: i % 2 ? 'x; y' : 'y' })),
    )
    const columns = fitTable(set, { target: ['sport', 'music'] })
    expect(columns.task).toBe('labels')
    expect(Array.from(columns(set).y.data.slice(0, 6))).toEqual([1, 1, 0, 0, 1, 0])
    const one = fitTable(set, { target: 'tags', columns: { tags: labels() } })
    expect(one.classes).toEqual(['x', 'y'])
    expect(Array.from(one(set).y.data.slice(0, 4))).toEqual([0, 1, 1, 1])
    expect(Array.from(tableFromJSON(JSON.parse(JSON.stringify(one)))(set).y.data)).toEqual(Array.from(one(set).y.data))
  })

  test('what cannot be', async () => {
    expect(failure(() => fitTable(rows, { target: 'churnd' })).message).toContain("did you mean 'churned'?")
    expect(failure(() => fitTable(rows, { target: 'constant' })).message).toContain("only the class 'same'")
    expect(failure(() => fitTable(rows, { target: 'churned', columns: { plann: category() } })).message).toContain("did you mean 'plan'?")
    expect(failure(() => fitTable(rows, { target: 'churned', columns: { plan: category as never } })).message).toContain('call it')
    expect(failure(() => fitTable(rows, { target: 'churned', colums: {} } as never)).message).toContain("did you mean 'columns'?")
    expect(failure(() => fitTable(rows, { target: 'plan' })(rows)).message).toContain("row 0 has no value of the target 'plan'")
    const table = fitTable(rows.complete('plan').head(100), { target: 'plan' })
    const other = await readTable(records.map((r) => ({ ...r, plan: 'gold' })))
    expect(failure(() => table(other))).toMatchObject({ code: 'ERR_LABEL' })
    const columns = Object.fromEntries(rows.names.map((name) => [name, ignore()]).filter(([name]) => name !== 'churned'))
    expect(failure(() => fitTable(rows, { target: 'churned', columns })).message).toContain('no column beside the target says anything')
  })
})

test('a date format is short, whoever writes it', () => {
  expect(failure(() => date({ format: 'Y'.repeat(1000) })).code).toBe('ERR_OPTION')
  const json = JSON.parse(JSON.stringify(fitTable(rows, everyKind)))
  const joined = json.columns.find(({ name }: { name: string }) => name === 'joined')
  joined.format = 'YYYY'.repeat(100_000)
  expect(failure(() => tableFromJSON(json)).message).toContain('expected format to be a short text')
})

test('JSON of tables that is cut, changed or foreign is refused with a code', () => {
  const json = JSON.stringify(fitTable(rows, everyKind))
  const good = JSON.parse(json)
  for (const bad of [null, {}, [], { ...good, version: 2 }, { ...good, columns: [] }, { ...good, columns: [{}] }, { ...good, target: {} }])
    expect(failure(() => tableFromJSON(bad)).code).toBe('ERR_VALUE')
  const walk = (node: unknown, change: (parent: Record<string, unknown>, key: string) => void): void => {
    if (typeof node !== 'object' || node === null) return
    for (const key of Object.keys(node)) {
      change(node as Record<string, unknown>, key)
      walk((node as Record<string, unknown>)[key], change)
    }
  }
  let places = 0
  walk(good, () => places++)
  for (let at = 0; at < Math.min(places, 400); at++) {
    for (const value of [null, -1, 'x', [], {}, Number.NaN, '__proto__']) {
      const copy = JSON.parse(json)
      let i = 0
      walk(copy, (parent, key) => {
        if (i++ === at) parent[key] = value
      })
      const { code } = failure(() => tableFromJSON(copy).encode([records[1]]))
      if (code !== undefined) expect(['ERR_VALUE', 'ERR_DATA', 'ERR_OPTION', 'ERR_RANGE']).toContain(code)
    }
  }
})
