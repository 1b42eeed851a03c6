/** CSV: real tables, types and categories, every kind of bad row named by line and column, streams, mutations. */

import { writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { recordEncoderFromJSON } from '../../lib/data/records.js'
import { type CsvOptions, readCsv, split, streamCsv } from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { failureOf, folder, fuzz } from './helpers.js'

const path = folder()
const example = (name: string) => fileURLToPath(new URL(`../../examples/data/${name}.csv`, import.meta.url))
const source = (text: string | Uint8Array) => Readable.from([typeof text === 'string' ? Buffer.from(text) : text])
const read = (text: string, options: Partial<CsvOptions> = {}) => readCsv(source(text), { target: 'y', ...options })

describe('the tables of the examples', () => {
  test('iris: a target of text gives classes', async () => {
    const iris = await readCsv(example('iris'), { target: 'species' })
    expect(iris.x.shape).toEqual([150, 4])
    expect(iris.y.shape).toEqual([150])
    expect(iris.y.dtype).toBe('int32')
    expect(iris.classes).toEqual(['setosa', 'versicolor', 'virginica'])
    expect(iris.features).toEqual(['sepal_length', 'sepal_width', 'petal_length', 'petal_width'])
    expect(Array.from(iris.x.data.subarray(0, 4))).toEqual([5.1, 3.5, 1.4, 0.2].map(Math.fround))
    expect(iris.x.data.buffer).toBeInstanceOf(SharedArrayBuffer)
    const [train, test] = split(iris, { test: 0.2, seed: 1, stratify: true })
    expect(test.classes).toEqual(iris.classes)
    expect([0, 1, 2].map((c) => Array.from(test.y.data).filter((y) => y === c).length)).toEqual([10, 10, 10])
    expect(train.encoder).toBe(iris.encoder)
  })

  test('digits and diabetes: a target of numbers is a column', async () => {
    const digits = await readCsv(example('digits'), { target: 'digit' })
    expect(digits.x.shape).toEqual([1797, 64])
    expect(digits.y.shape).toEqual([1797, 1])
    expect(Array.from(digits.y.data.subarray(0, 3))).toEqual([0, 1, 2])
    expect(split(digits, { test: 0.2, seed: 1, stratify: true })[1].length).toBeGreaterThan(350)
    const named = await readCsv(example('digits'), { target: 'digit', types: { digit: 'category' } })
    expect(named.classes).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    expect(Array.from(named.y.data)).toEqual(Array.from(digits.y.data))
    const diabetes = await readCsv(example('diabetes'), { target: 'progression', dtype: 'float64' })
    expect(diabetes.x.shape).toEqual([442, 10])
    expect([diabetes.x.data[8], diabetes.y.data[0]]).toEqual([4.8598, 151])
  })
})

describe('what a table may look like', () => {
  test('quotes, doubled quotes, line breaks within, spaces, a byte order mark, CRLF, blank lines', async () => {
    const t = await read('\ufeff"a, b" , name,y\r\n1,"x ""1""\ny",0\r\n\r\n 2 , z ,1')
    expect(t.features).toEqual(['a, b', 'name=x "1"\ny', 'name=z'])
    expect(t.x.toArray()).toEqual([
      [1, 1, 0],
      [2, 0, 1],
    ])
    expect(t.y.toArray()).toEqual([[0], [1]])
  })

  test('chunks cut anywhere, within a quote, a CRLF and a letter of two bytes', async () => {
    const bytes = Buffer.from('\ufeffn,ü,y\r\n1,"é,\r\n""",a\r\n2,x,b\r\n')
    for (let at = 0; at < bytes.length; at++) {
      const t = await readCsv(Readable.from([bytes.subarray(0, at), bytes.subarray(at)]), { target: 'y' })
      expect(t.features).toEqual(['n', 'ü=x', 'ü=é,\r\n"'])
      expect(t.x.toArray()).toEqual([
        [1, 0, 1],
        [2, 1, 0],
      ])
      expect(t.classes).toEqual(['a', 'b'])
    }
  })

  test('numbers as people write them', async () => {
    const t = await read('x,y\n1e5,1\n-.5E-1,1\n+3.,1\n007,1\n', { dtype: 'float64' })
    expect(t.x.toArray()).toEqual([[1e5], [-0.05], [3], [7]])
  })

  test('line ends of all kinds in one file', async () => {
    const t = await read('a,y\r\n1,2\n3,4\r5,6\r\n\n"7",8')
    expect(t.x.toArray()).toEqual([[1], [3], [5], [7]])
    expect((await failureOf(read('a,y\r\n1,2\n3,4\r5,x\n'))).message).toMatch(/line 4/)
  })

  test('a decimal comma, in later records too', async () => {
    const t = await read('n;c;y\n1,5;u;-,5e1\n-2;v;3,\n', { delimiter: ';', decimal: ',', dtype: 'float64' })
    expect(t.x.toArray()).toEqual([
      [1.5, 1, 0],
      [-2, 0, 1],
    ])
    expect(t.y.toArray()).toEqual([[-5], [3]])
    expect(
      t
        .encoder?.([
          { n: '2,5', c: 'u' },
          { n: 2.5, c: 'u' },
        ])
        .toArray(),
    ).toEqual([
      [2.5, 1, 0],
      [2.5, 1, 0],
    ])
    expect(codeOf(() => t.encoder?.({ n: '2.5', c: 'u' }))).toBe('ERR_DATA')
    const again = recordEncoderFromJSON(JSON.parse(JSON.stringify(t.encoder)))
    expect(again({ n: '2,5', c: 'v' }).toArray()).toEqual([2.5, 0, 1])
    const quoted = await read('n,y\n"1,5",2\n', { decimal: ',' })
    expect(quoted.x.toArray()).toEqual([[1.5]])
    expect((await read('n;y\n1,5;2\n2,5;1\n', { delimiter: ';', types: { n: 'category' } })).features).toEqual(['n=1,5', 'n=2,5'])
  })

  test('no header, other delimiters, several targets, columns left out', async () => {
    const t = await readCsv(source('1;2;3;u1\n4;5;6;u2\n'), { header: false, delimiter: ';', target: [2, '0'], types: { 3: 'ignore' } })
    expect(t.x.toArray()).toEqual([[2], [5]])
    expect(t.y.toArray()).toEqual([
      [3, 1],
      [6, 4],
    ])
  })

  test('categories in growing order, whatever the order of rows; numbers as categories by their value', async () => {
    const a = await read('c,k,y\nb,10,1\na,9,1\nb,9,2\n', { types: { k: 'category' } })
    expect(a.features).toEqual(['c=a', 'c=b', 'k=9', 'k=10'])
    expect(a.x.toArray()).toEqual([
      [0, 1, 0, 1],
      [1, 0, 1, 0],
      [0, 1, 1, 0],
    ])
  })

  test('the encoder gives later records the same features', async () => {
    const t = await read('age,city,y\n30,Rome,1\n40,Oslo,0\n')
    expect(
      t
        .encoder?.([
          { city: 'Rome', age: 30, more: 'ignored' },
          { age: '40', city: ' Oslo' },
        ])
        ?.toArray(),
    ).toEqual(t.x.toArray())
    expect(t.encoder?.({ age: 5, city: 'Oslo' }).toArray()).toEqual([5, 1, 0])
    expect(codeOf(() => t.encoder?.({ age: 5, city: 'Bonn' }))).toBe('ERR_LABEL')
    expect(codeOf(() => t.encoder?.({ age: '0x10', city: 'Rome' }))).toBe('ERR_DATA')
    expect(codeOf(() => t.encoder?.({ city: 'Rome' }))).toBe('ERR_DATA')
    expect(codeOf(() => t.encoder?.([]))).toBe('ERR_DATA')
    expect(codeOf(() => t.encoder?.([1]))).toBe('ERR_VALUE')
  })
})

describe('missing values', () => {
  const holes = 'n,c,y\n1,a,1\n,b,2\n3,NA,3\n5,b,4\n'
  test('are refused, naming line and column', async () => {
    expect(await failureOf(read(holes))).toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/line 3, column 'n'.*empty.*drop/),
    })
  })
  test('drop their rows', async () => {
    const t = await read(holes, { missing: 'drop' })
    expect(t.y.toArray()).toEqual([[1], [4]])
  })
  test('become means, and no category', async () => {
    const t = await read(holes, { missing: 'mean' })
    expect(t.x.toArray()).toEqual([
      [1, 1, 0],
      [3, 0, 1],
      [3, 0, 0],
      [5, 0, 1],
    ])
    expect(t.encoder?.({}).toArray()).toEqual([3, 0, 0])
  })
  test('are what the option says', async () => {
    const t = await read('c,y\nNA,1\n-,2\nb,3\n', { missing: 'drop', missingValues: ['-'] })
    expect(t.features).toEqual(['c=NA', 'c=b'])
  })
  test('in a target are refused, or dropped', async () => {
    expect((await failureOf(read('n,y\n1,\n', { missing: 'mean' }))).message).toMatch(/line 2, column 'y'/)
    expect((await read('n,y\n1,\n2,2\n', { missing: 'drop' })).x.toArray()).toEqual([[2]])
  })
})

describe('what is refused', () => {
  test.each<[string, string, Partial<CsvOptions>, string, RegExp]>([
    ['hexadecimal numbers', 'n,y\n1,1\n0x10,2\n', {}, 'ERR_DATA', /line 3, column 'n': expected a number, got '0x10'.*line 2/],
    ['a decimal comma', 'n;y\n1,5;1\n', { delimiter: ';', types: { n: 'number' } }, 'ERR_DATA', /line 2.*'1,5'/],
    ['a decimal comma where nothing was said', 'n;y\n1,5;1\n', { delimiter: ';' }, 'ERR_DATA', /line 2, column 'n'.*'1,5'; decimal: ','/],
    ['a decimal point among commas', 'n;y\n1.5;1\n', { delimiter: ';', decimal: ',' }, 'ERR_DATA', /'1.5'; decimal: '\.'/],
    ['numbers beyond float64', 'n,y\n1,1\n1e999,2\n', {}, 'ERR_DATA', /'1e999'/],
    ['Infinity', 'n,y\n1,1\nInfinity,2\n', {}, 'ERR_DATA', /'Infinity'/],
    ['a number among categories', 'c,y\na,1\n7,2\n', {}, 'ERR_DATA', /line 3, column 'c': expected a category, got '7'.*types/],
    ['a short row', 'a,b,y\n1,2,3\n1,2\n', {}, 'ERR_FILE', /fields.*line 3/],
    ['a long row after a field of two lines', 'a,b,y\n"x\nz",2,3\n1,2,3,4\n', {}, 'ERR_FILE', /line 4/],
    ['an unclosed quote', 'a,y\n1,2\n"3,4\n5,6\n', {}, 'ERR_FILE', /closing quote.*after line 2/],
    ['text after a closing quote', 'a,y\n"1"2,3\n', {}, 'ERR_FILE', /quotes.*line 2/],
    ['a quote within a field', 'a,y\n1"2,3\n', {}, 'ERR_FILE', /quotes.*line 2/],
    ['no rows', 'a,y\n', {}, 'ERR_DATA', /at least one row/],
    ['nothing at all', '', {}, 'ERR_DATA', /at least one row/],
    ['all rows dropped', 'a,y\n,1\n', { missing: 'drop' }, 'ERR_DATA', /at least one row/],
    ['a column named twice', 'a,a,y\n1,2,3\n', {}, 'ERR_FILE', /two columns have the name 'a'/],
    ['no features', 'y\n1\n', {}, 'ERR_DATA', /besides the target/],
    ['a misspelled target', 'a,label\n1,2\n', { target: 'lable' }, 'ERR_OPTION', /did you mean 'label'/],
    ['a target beyond the columns', 'a,y\n1,2\n', { target: 2 }, 'ERR_OPTION', /target/],
    ['types of no column', 'a,y\n1,2\n', { types: { b: 'number' } }, 'ERR_OPTION', /types.*'b'/],
    ['several targets of text', 'a,b,y\n1,u,v\n', { target: ['b', 'y'] }, 'ERR_OPTION', /several targets/],
    ['a column without values', 'a,b,y\n1,,1\n2,,2\n', { missing: 'mean' }, 'ERR_DATA', /column 'b' has no values/],
    ['too many categories', `a,y\n${Array.from({ length: 101 }, (_, i) => `n${i},1`).join('\n')}`, {}, 'ERR_DATA', /line 102.*at most 100/],
  ])('%s', async (_, text, options, code, message) => {
    const failure = await failureOf(read(text, options))
    expect(failure.message).toMatch(message)
    expect(failure.code).toBe(code)
  })

  test('bytes that are not UTF-8, a letter cut off at the end, UTF-16', async () => {
    for (const bytes of [
      Buffer.from('a,y\n\xe4,1\n', 'latin1'),
      Buffer.from('a,y\nx,\xc3', 'latin1'),
      Buffer.from('\ufeffa,y\n1,2\n', 'utf16le'),
    ])
      expect(await failureOf(readCsv(source(bytes), { target: 'y' }))).toMatchObject({
        code: 'ERR_FILE',
        message: expect.stringMatching(/UTF-8/),
      })
  })

  test('a file that is not there, a folder, options that are wrong', async () => {
    expect((await failureOf(readCsv(path('none.csv'), { target: 'y' }))).code).toBe('ERR_FILE')
    expect((await failureOf(readCsv(path('.'), { target: 'y' }))).code).toBe('ERR_FILE')
    expect((await failureOf(readCsv('', { target: 'y' }))).code).toBe('ERR_VALUE')
    expect((await failureOf(readCsv(1 as never, { target: 'y' }))).code).toBe('ERR_VALUE')
    for (const options of [
      {},
      { target: 'y', Header: true },
      { target: 'y', delimiter: ',,' },
      { target: 'y', missing: 'skip' },
      { target: 'y', types: { y: 'int' } },
      { target: 'y', decimal: ';' },
    ])
      expect((await failureOf(readCsv(source('a,y\n1,2\n'), options as never))).code).toBe('ERR_OPTION')
    expect((await failureOf(readCsv(source('a,y\n1,2\n'), { target: 'y', maxCategories: 0 }))).code).toBe('ERR_RANGE')
  })

  test('a source that fails passes its error on', async () => {
    const failing = (async function* () {
      yield Buffer.from('a,y\n1,2\n')
      throw new Error('cable pulled')
    })()
    expect((await failureOf(readCsv(failing, { target: 'y' }))).message).toMatch(/cable pulled/)
  })
})

describe('streamCsv', () => {
  test('gives the rows of readCsv in batches, again and again', async () => {
    const text = `n,c,y\n${Array.from({ length: 1000 }, (_, i) => `${i % 7 === 0 ? '' : i},${'zab'[i % 3]},${i % 2 ? 'no' : 'yes'}`).join('\n')}`
    writeFileSync(path('s.csv'), text)
    const whole = await readCsv(path('s.csv'), { target: 'y', missing: 'mean' })
    const stream = streamCsv(path('s.csv'), { target: 'y', missing: 'mean', batchSize: 64 })
    for (let pass = 0; pass < 2; pass++) {
      const x: number[] = []
      const y: number[] = []
      const sizes: number[] = []
      for await (const batch of stream) {
        x.push(...batch.x.data)
        y.push(...batch.y.data)
        sizes.push(batch.y.size)
      }
      expect(x).toEqual(Array.from(whole.x.data))
      expect(y).toEqual(Array.from(whole.y.data))
      expect(sizes).toEqual([...new Array(15).fill(64), 40])
    }
    const info = await stream.info()
    expect(info).toMatchObject({ rows: 1000, classes: ['no', 'yes'], features: whole.features })
    expect(info.encoder({ n: 1, c: 'a' }).toArray()).toEqual([1, 1, 0, 0])
  })

  test('drops rows, stops early, refuses what readCsv does', async () => {
    writeFileSync(path('d.csv'), 'n,y\n1,1\n,2\n3,3\n4,4\n')
    const sizes: number[] = []
    const dropping = streamCsv(path('d.csv'), { target: 'y', missing: 'drop', batchSize: 2 })
    for await (const { x } of dropping) sizes.push(x.size)
    expect(sizes).toEqual([2, 1])
    expect((await dropping.info()).rows).toBe(3)
    for await (const { y } of streamCsv(path('d.csv'), { target: 'y', missing: 'drop', batchSize: 2 ** 40 })) expect(y.size).toBe(3)
    for await (const { x } of dropping) {
      expect(x.toArray()).toEqual([[1], [3]])
      break
    }
    expect((await failureOf(streamCsv(path('d.csv'), { target: 'y', batchSize: 2 }).info())).message).toMatch(/streamCsv: line 3/)
    expect(codeOf(() => streamCsv(path('d.csv'), { target: 'y', batchSize: 0 }))).toBe('ERR_RANGE')
    expect((await failureOf(streamCsv(path('none.csv'), { target: 'y', batchSize: 2 }).info())).code).toBe('ERR_FILE')
  })

  test('refuses a file that grew other categories in between', async () => {
    writeFileSync(path('g.csv'), 'c,y\na,1\nb,2\n')
    const stream = streamCsv(path('g.csv'), { target: 'y', batchSize: 1 })
    await stream.info()
    writeFileSync(path('g.csv'), 'c,y\na,1\nz,2\n')
    const failure = await failureOf(
      (async () => {
        for await (const _ of stream);
      })(),
    )
    expect(failure).toMatchObject({ code: 'ERR_LABEL', message: expect.stringMatching(/line 3, column 'c'/) })
  })
})

test('mutated tables give a data set or a coded error', async () => {
  const rows = Array.from({ length: 30 }, (_, i) => `${i * 1.5},"c,${i % 4}",${i % 3 ? 'yes' : '"n""o"'}`)
  const files = [`a,b,y\n${rows.join('\n')}\n`, '\ufeffn,y\r\n1,2\r\n3.5e2,4\r\n', 'u,v,y\n,x,1\nNA,"x\ny",2\n7,z,3\n']
  const policies = ['refuse', 'drop', 'mean'] as const
  let round = 0
  const refused = await fuzz(
    files.map((text) => new Uint8Array(Buffer.from(text))),
    async (bytes) => {
      const cut = bytes.length >> 1
      const t = await readCsv(Readable.from([bytes.subarray(0, cut), bytes.subarray(cut)]), {
        target: 'y',
        missing: policies[round++ % 3] as 'refuse',
      })
      expect(t.x.size).toBeLessThanOrEqual(100 * bytes.length)
      for (const v of t.x.data) expect(Number.isFinite(v)).toBe(true)
    },
  )
  expect(refused).toBeGreaterThan(0)
})
