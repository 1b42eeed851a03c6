/** The scanner of CSV against another one (csv-parse), on random texts cut anywhere; numbers, dates and dictionaries of bytes against those of texts. */

import { parse } from 'csv-parse/sync'
import { expect, test } from 'vitest'
import { Random } from '../../lib/index.js'
import { recordsOf } from '../../lib/io/csv-records.js'
import { dateIn, missingTexts, numberIn } from '../../lib/table/cell.js'
import { ByteMap, ByteSet, dateAt, numberAt } from '../../lib/table/cells.js'

const draws = new Random(11)
/** Whole numbers below n, without the cost of a tensor each. */
function below(): (n: number) => number {
  let [block, at] = [draws.uniform([65536]).data, 0]
  return (n) => {
    if (at === block.length) [block, at] = [draws.uniform([65536]).data, 0]
    return Math.floor((block[at++] as number) * n) % n
  }
}
const pick = below()
const anyOf = <T>(list: readonly T[]): T => list[pick(list.length)] as T

async function scan(text: string, delimiter: string): Promise<string[][] | string> {
  const bytes = Buffer.from(text)
  async function* pieces() {
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + 1 + pick(7))
      yield bytes.subarray(from, to)
      from = to
    }
  }
  const cells: string[][] = []
  try {
    for await (const batch of recordsOf(pieces(), { where: 'test', delimiter })) cells.push(...batch.cells)
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return cells
}

function oracle(text: string, delimiter: string): string[][] | string {
  try {
    return parse(text, { bom: true, delimiter, record_delimiter: ['\r\n', '\n', '\r'], trim: true, skip_empty_lines: true })
  } catch {
    return 'ERR_FILE'
  }
}

test('reads what csv-parse reads, and refuses what it refuses', async () => {
  const cells = [
    '',
    'a',
    'bc',
    '1.5',
    ' x',
    'y ',
    '\t',
    '"q"',
    '"a,b"',
    '"l\nm"',
    '"r\r\ns"',
    '"t\ru"',
    '"d""d"',
    '""',
    '""""',
    ' "s" ',
    '"é,"',
    'ü',
    'wild"',
  ]
  let refused = 0
  for (let round = 0; round < 3000; round++) {
    const delimiter = anyOf([',', ';', '\t', '§'])
    const width = 1 + pick(4)
    const end = () => anyOf(['\n', '\n', '\r\n', '\r'])
    let text = pick(4) === 0 ? '\ufeff' : ''
    const rows = pick(6)
    for (let i = 0; i < rows; i++) {
      if (pick(10) === 0) text += anyOf(['', ' ', ' \t']) + end()
      const n = pick(40) === 0 ? width + 1 : width
      text += Array.from({ length: n }, () => (pick(60) === 0 ? anyOf(cells) : anyOf(cells.slice(0, -1)))).join(delimiter)
      if (i < rows - 1 || pick(2) === 0) text += end()
    }
    const [ours, theirs] = [await scan(text, delimiter), oracle(text, delimiter)]
    // What is quoted twice in one field, csv-parse joins now and then: no file says that.
    if (typeof ours === 'string') refused++
    expect(ours, JSON.stringify(text)).toEqual(theirs)
  }
  expect(refused).toBeGreaterThan(20)
})

test('numbers of bytes are the numbers of their texts, to the last bit', () => {
  const padded = (text: string) => Buffer.from(`<${text}>`)
  const at = (text: string) => numberAt(padded(text), 1, 1 + Buffer.byteLength(text))
  for (const text of [
    '0',
    '-0',
    '+5',
    '00',
    '007',
    '0.5',
    '.5',
    '5.',
    '.',
    '-',
    '1e5',
    '1e',
    '1e999',
    '9007199254740993',
    '9007199254740991',
    '123456789012345',
    '0.1234567890123456789',
    '1.7976931348623157e308',
    '5e-324',
    '1_0',
    'é',
    '0x10',
    '1 ',
    '--1',
    '1-',
    '1.2.3',
    '00.5',
  ])
    expect([text, at(text)]).toEqual([text, numberIn(text) ?? Number.NaN])
  for (let i = 0; i < 20_000; i++) {
    const digits = Array.from({ length: 1 + pick(18) }, () => pick(10)).join('')
    const point = pick(digits.length + 1)
    const text =
      anyOf(['', '-', '+']) +
      (pick(3) === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`) +
      (pick(9) === 0 ? `e${pick(60) - 30}` : '')
    expect([text, at(text)]).toEqual([text, numberIn(text) ?? Number.NaN])
  }
})

test('dates of bytes are the dates of their texts', () => {
  const at = (text: string) => dateAt(Buffer.from(`<${text}>`), 1, 1 + Buffer.byteLength(text))
  for (const text of [
    '2026-02-29',
    '2024-02-29',
    '1900-02-29',
    '2000-02-29',
    '1599-12-31',
    '1600-01-01',
    '0099-01-01',
    '2026-13-01',
    '2026-00-10',
    '2026-01-00',
    '2026-01-32',
    '2026-1a-01',
    '2026-01-03T25:00:00',
    '2026-01-03T14:05',
    '2026-01-03 14:05:59',
    '2026-01-03T14:05:59.5Z',
    '2026-01-03T14:05+02:00',
    '2026-01-03x14:05:59',
    '99999-01-01',
    'é26-01-03',
  ])
    expect([text, at(text)]).toEqual([text, dateIn(text) ?? Number.NaN])
  for (let i = 0; i < 5000; i++) {
    const day = `${1500 + pick(1000)}-${String(1 + pick(12)).padStart(2, '0')}-${String(1 + pick(31)).padStart(2, '0')}`
    const text =
      day + (pick(2) ? '' : `${anyOf(['T', ' ', 't'])}${[24, 60, 60].map((n) => String(pick(n + 1)).padStart(2, '0')).join(':')}`)
    expect([text, at(text)]).toEqual([text, dateIn(text) ?? Number.NaN])
  }
})

test('dictionaries of bytes', () => {
  const [map, known] = [new ByteMap(), new Map<string, number>()]
  for (let i = 0; i < 50_000; i++) {
    const text = anyOf(['', 'v', 'ü', 'longer text ']) + pick(8000)
    const bytes = Buffer.from(text)
    const found = map.get(bytes, 0, bytes.length)
    // It may forget, and never tells another's number.
    if (found >= 0) expect(found).toBe(known.get(text))
    else {
      if (!known.has(text)) known.set(text, known.size)
      map.put(bytes, 0, bytes.length, known.get(text) as number)
    }
  }
  let forgotten = 0
  for (const [text, place] of known) {
    const bytes = Buffer.from(text)
    const found = map.get(bytes, 0, bytes.length)
    if (found !== place) forgotten++
  }
  expect(forgotten).toBe(0)
  const set = new ByteSet(missingTexts)
  for (const text of [...missingTexts, 'NAN', 'nul', 'nulls', 'N', 'Na', '-', '??'])
    if (text !== '') expect([text, set.has(Buffer.from(`,${text},`), 1, 1 + text.length)]).toEqual([text, missingTexts.has(text)])
})
