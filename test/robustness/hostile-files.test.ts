/**
 * Files and requests from anywhere: reading one takes time and memory linear in its size, whatever it says. Small files with
 * large meaning, long cells, long names, shared modules, names of built-in functions.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { recordEncoder, recordEncoderFromJSON } from '../../lib/data/records.js'
import {
  decodeNpy,
  decodeSafetensors,
  encodeSafetensors,
  loadModel,
  nn,
  Random,
  readCsv,
  readSafetensors,
  saveModel,
  standardize,
  tensor,
  transformFromJSON,
  WengertError,
  writeSafetensors,
  zeros,
} from '../../lib/index.js'
import { parseJSON } from '../../lib/io/json.js'
import { decodeModel } from '../../lib/io/model.js'
import { decodeCheckpoint } from '../../lib/train/checkpoint.js'
import { describe as described } from '../../lib/util/options.js'
import { codeOf } from '../backend/engines.js'
import { failureOf, folder } from '../io/helpers.js'
import { expectLinear } from '../support/growth.js'

const path = folder()
const csv = (text: string) => Readable.from([text])
const count = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))

/** The bytes of a model file as `saveModel` writes it, with whatever it is to say. */
function modelFile(json: Record<string, unknown>, tensors: Record<string, ReturnType<typeof tensor>> = {}): Uint8Array {
  const model = JSON.stringify({ modules: [{ type: 'ReLU', config: {} }], frozen: [], transforms: [], ...json })
  return encodeSafetensors(tensors, { format: 'wengert', version: '1', model })
}
const use = (place: unknown) => ({ $module: place })
/** Levels of sequences each of which runs the one below twice. */
const doubled = (levels: number) => [
  { type: 'ReLU', config: {} },
  ...count(levels, (i) => ({ type: 'Sequential', config: { layers: [use(i), use(i)] } })),
]

describe('time is linear in what is read', () => {
  const header = (length: number, text: string) => {
    const bytes = new Uint8Array(10 + length).fill(0x20)
    bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 2, 0])
    const out = new Uint8Array(12 + length).fill(0x20)
    out.set(bytes.subarray(0, 8))
    new DataView(out.buffer).setUint32(8, length, true)
    out.set(new TextEncoder().encode(text), 12)
    return out
  }
  const table = (name: string, n: number, make: (n: number) => string, target: string | number = 'y') =>
    test(`a table with ${name}`, { timeout: 60_000 }, () => expectLinear(n, make, (text) => readCsv(csv(text), { target })))
  table('a cell of digits and a letter', 4096, (n) => `a,y\n1,2\n${'1'.repeat(n)}x,3\n`)
  table('a cell of digits after a point', 4096, (n) => `a,y\n1,2\n.${'1'.repeat(n)}x,3\n`)
  table('an exponent of digits', 4096, (n) => `a,y\n1,2\n1e${'1'.repeat(n)}x,3\n`)
  table('a cell of spaces', 8192, (n) => `a,y\n1,2\n1${' '.repeat(n)}x,3\n`)
  table('a cell of quotes', 8192, (n) => `a,y\n1,2\n"${'""'.repeat(n)}",3\n`)
  table('a quote that is not closed', 8192, (n) => `a,y\n1,2\n"${'a\n'.repeat(n)}`)
  table('many columns', 4096, (n) => `${count(n, (i) => `c${i}`).join()}\n${count(n, () => 1).join()}\n`, 'c0')
  table('many columns of one name', 4096, (n) => `${count(n, () => 'c').join()}\n`, 'c')
  table('a long name of a column', 8192, (n) => `${'n'.repeat(n)},y\nu,1\n1,1\n`)
  table('many rows', 2048, (n) => `a,b,y\n${'1,u,2\n'.repeat(n)}`)
  table('many blank lines', 8192, (n) => `a,y\n${'\n'.repeat(n)}1,2\n`)

  test('a request with a long text where a number or a category should be', async () => {
    const encode = recordEncoder([
      { name: 'a', kind: 'number' },
      { name: 'b', kind: 'category', categories: ['u'] },
    ])
    await expectLinear(
      8192,
      (n) => `${'1'.repeat(n)}x`,
      (a) => encode({ a, b: 'u' }),
    )
    await expectLinear(
      8192,
      (n) => `${' '.repeat(n)}u${' '.repeat(n)}v`,
      (b) => encode({ a: 1, b }),
    )
  })

  const json = (name: string, n: number, make: (n: number) => string) =>
    test(`JSON with ${name}`, () => expectLinear(n, make, (text) => parseJSON('test', text)))
  json('a long text', 65_536, (n) => `["${'a'.repeat(n)}"]`)
  json('a text of escapes', 65_536, (n) => `["${'\\"'.repeat(n)}"]`)
  json('many names', 4096, (n) => `{${count(n, (i) => `"n${i}":1`).join()}}`)
  json('spaces', 65_536, (n) => `[${'"a" '.repeat(1)}${' '.repeat(n)}, "b"]`)
  json('brackets', 8192, (n) => '['.repeat(n) + ']'.repeat(n))

  test('a safetensors file with many tensors', () =>
    expectLinear(
      1024,
      (n) => encodeSafetensors(Object.fromEntries(count(n, (i) => [`t${i}`, tensor([1])]))),
      (bytes) => decodeSafetensors(bytes),
    ))
  const npy = (name: string, make: (n: number) => string) =>
    test(`an npy header with ${name}`, () =>
      expectLinear(
        16_384,
        (n) => header(2 * n + 200, make(n)),
        (bytes) => decodeNpy(bytes),
      ))
  npy('spaces', (n) => `{'descr'${' '.repeat(n)}: '<f4'`)
  npy('digits', (n) => `{'shape': (${'1'.repeat(n)}`)
  npy('numbers', (n) => `{'shape': (${'1,'.repeat(n)}`)
  npy('a quote that is not closed', (n) => `{'${'d'.repeat(n)}`)
  npy('brackets', (n) => '({'.repeat(n))

  const model = (name: string, n: number, make: (n: number) => Uint8Array) =>
    test(`a model with ${name}`, { timeout: 60_000 }, () => expectLinear(n, make, (bytes) => decodeModel(bytes)))
  model('many columns of a one-hot transform', 2048, (n) =>
    modelFile({
      transforms: [{ kind: 'oneHot', shape: [n], columns: count(n, (i) => i), values: count(n, () => [0, 1]), unknown: 'zeros' }],
    }),
  )
  model('many features to standardise', 2048, (n) =>
    modelFile({
      transforms: [{ kind: 'standardize', shape: [n], shift: count(n, () => 0), scale: count(n, () => 1), offset: count(n, () => 0) }],
    }),
  )
  model('many layers', 512, (n) =>
    modelFile(
      {
        modules: [
          ...count(n, () => ({ type: 'Linear', config: { inFeatures: 1, outFeatures: 1, bias: false } })),
          { type: 'Sequential', config: { layers: count(n, use) } },
        ],
      },
      Object.fromEntries(count(n, (i) => [`${i}.weight`, tensor([[1]])])),
    ),
  )
  model('one layer used often', 2048, (n) =>
    modelFile({
      modules: [
        { type: 'ReLU', config: {} },
        { type: 'Sequential', config: { layers: count(n, () => use(0)) } },
      ],
    }),
  )
  model('sequences in sequences', 60, (n) =>
    modelFile({ modules: [{ type: 'ReLU', config: {} }, ...count(n, (i) => ({ type: 'Sequential', config: { layers: [use(i)] } }))] }),
  )
  model('a long name of a class', 8192, (n) => modelFile({ modules: [{ type: 'L'.repeat(n), config: {} }] }))
  model('a long name of a setting', 8192, (n) => modelFile({ modules: [{ type: 'Linear', config: { ['f'.repeat(n)]: 1 } }] }))
  model('many categories', 2048, (n) =>
    modelFile({ transforms: [{ kind: 'records', fields: [{ name: 'c', kind: 'category', categories: count(n, String) }] }] }),
  )

  test('a checkpoint with many callbacks and tensors', () =>
    expectLinear(
      256,
      (n) => ({
        tensors: Object.fromEntries(count(n, (i) => [`callback.${i}.best`, tensor([1])])),
        metadata: {
          format: 'wengert-checkpoint',
          version: '1',
          counters: JSON.stringify({
            trainer: 'SGD',
            optimizer: 'adam',
            epoch: 1,
            updates: 1,
            unfinished: { seed: 1, callbacks: count(n, () => ({ name: 'c', values: {} })) },
          }),
        },
      }),
      (file) => decodeCheckpoint(file, 'a.ckpt'),
    ))
})

describe('small files with large meaning are refused', () => {
  const refused = (name: string, bytes: Uint8Array, says: RegExp) =>
    test(name, () => {
      const start = performance.now()
      const { code, message } = (() => {
        try {
          decodeModel(bytes)
        } catch (error) {
          return error as WengertError
        }
        throw new Error('it was read')
      })()
      expect(message).toMatch(says)
      expect({ code, long: message.length > 1000 }).toEqual({ code: 'ERR_FILE', long: false })
      // None of them may be begun: each asks for minutes or for terabytes.
      expect(performance.now() - start).toBeLessThan(5000)
    })
  const oneHot = (json: object) => modelFile({ transforms: [{ kind: 'oneHot', unknown: 'zeros', ...json }] })
  refused('a one-hot transform of 10⁹ features without columns', oneHot({ shape: [1e9] }), /columns/)
  refused('one of more features than numbers count', oneHot({ shape: [1e300], columns: [], values: [] }), /shape/)
  refused('one without values', oneHot({ shape: [3], columns: [0], values: [[]] }), /values/)
  refused('one of values given twice', oneHot({ shape: [3], columns: [0], values: [[1, 1]] }), /values/)
  refused('a column given twice', oneHot({ shape: [3], columns: [0, 0], values: [[1], [1]] }), /distinct columns/)
  refused(
    'means that are declared and not there',
    modelFile({ transforms: [{ kind: 'standardize', shape: [1e12], shift: [], scale: [], offset: [] }] }),
    /finite numbers/,
  )
  refused(
    'a category given twice',
    modelFile({ transforms: [{ kind: 'records', fields: [{ name: 'c', kind: 'category', categories: ['u', 'u'] }] }] }),
    /fields/,
  )
  refused('a layer run 2⁶⁰ times', modelFile({ modules: doubled(60) }), /run .* times/)
  refused('a layer run 2²² times', modelFile({ modules: doubled(22) }), /run .* times/)
  refused(
    'layers nested 100,000 deep',
    modelFile({ modules: [{ type: 'ReLU', config: {} }, ...count(100_000, (i) => ({ type: 'Residual', config: { inner: use(i) } }))] }),
    /deep/,
  )
  refused('10¹⁵ weights', modelFile({ modules: [{ type: 'Linear', config: { inFeatures: 1e15, outFeatures: 1 } }] }), /Linear/)
  for (const place of ['constructor', 'map', '__proto__', 'length', '0', 0.5, -1, 7, null, [0], { a: 0 }])
    refused(
      `a reference to ${JSON.stringify(place)}`,
      modelFile({
        modules: [
          { type: 'ReLU', config: {} },
          { type: 'Residual', config: { inner: use(place) } },
        ],
      }),
      /references to earlier modules/,
    )

  test('a registered class is never handed anything but modules and JSON', () => {
    const seen: unknown[] = []
    class Taking extends nn.Module {
      constructor(config: Record<string, unknown>) {
        super()
        seen.push(config.inner)
      }
      override forward(x: ReturnType<typeof tensor>) {
        return x
      }
    }
    nn.registerModule('test.Taking', Taking)
    for (const place of ['constructor', 'map', '__proto__', 'at'])
      expect(codeOf(() => decodeModel(modelFile({ modules: [{ type: 'test.Taking', config: { inner: use(place) } }] })))).toBe('ERR_FILE')
    expect(seen).toEqual([])
  })

  const library = new URL('../../dist/lib/index.js', import.meta.url)
  test.runIf(existsSync(fileURLToPath(library)))('within a heap of 64 MB', () => {
    const files = [
      oneHot({ shape: [1e9] }),
      oneHot({ shape: [2 ** 50], columns: [0], values: [[1, 2]] }),
      modelFile({ modules: doubled(60) }),
      modelFile({ modules: [{ type: 'LayerNorm', config: { shape: [1e6, 1e6] } }] }),
      modelFile({ modules: [{ type: 'Embedding', config: { rows: 1e9, features: 1e9 } }] }),
    ].map((bytes, i) => {
      writeFileSync(path(`${i}.model`), bytes)
      return path(`${i}.model`)
    })
    const code = `
      const { loadModel } = await import(${JSON.stringify(library.href)})
      for (const file of ${JSON.stringify(files)}) console.log(await loadModel(file).then(() => 'read', (error) => error.code))`
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--max-old-space-size=64', '--input-type=module', '-e', code], {
      encoding: 'utf8',
      timeout: 30_000,
    })
    // The second asks for nothing until somebody brings 2⁵⁰ features.
    expect({ status, stdout: stdout.trim().split('\n'), stderr }).toEqual({
      status: 0,
      stdout: ['ERR_FILE', 'read', 'ERR_FILE', 'ERR_FILE', 'ERR_FILE'],
      stderr: '',
    })
  })
})

describe('shared modules', () => {
  test('are walked once: 16 levels load, list and summarise as 16 modules', () => {
    let module: nn.Module = new nn.Linear(1, 1, { rng: new Random(1) })
    for (let level = 0; level < 60; level++) module = new nn.Sequential(module, module)
    expect(module.modules().length).toBe(61)
    expect(module.namedParameters().length).toBe(2)
    expect(module.summary().split('\n').length).toBeLessThan(200)
    module.eval().train().freeze()
    expect(module.stateDict()).toHaveProperty([`${'0.'.repeat(60)}weight`])
  })

  test('that run within reason are saved, loaded and predict', async () => {
    let module: nn.Module = new nn.Linear(2, 2, { rng: new Random(1), init: 'glorot' })
    for (let level = 0; level < 6; level++) module = new nn.Sequential(module, module)
    await saveModel(module, path('shared.model'))
    const loaded = await loadModel(path('shared.model'))
    const x = tensor([[0.3, -2]])
    expect(loaded.modules().length).toBe(7)
    expect(loaded.predict(x).data).toEqual(module.predict(x).data)
  })

  test('that no reader would accept are not saved', async () => {
    let module: nn.Module = new nn.ReLU()
    for (let level = 0; level < 22; level++) module = new nn.Sequential(module, module)
    expect(await failureOf(saveModel(module, path('far.model')))).toMatchObject({
      code: 'ERR_STATE',
      message: expect.stringMatching(/run/),
    })
    expect(existsSync(path('far.model'))).toBe(false)
  })
})

describe('what is written can be read, or is refused when written', () => {
  test('1,000 nested modules', async () => {
    let module: nn.Module = new nn.Linear(2, 2, { rng: new Random(1) })
    for (let level = 0; level < 1000; level++) module = new nn.Residual(module)
    const small = tensor([[1e-300, 0]])
    const expected = module.predict(small).data
    await saveModel(module, path('deep.model'))
    const loaded = await loadModel(path('deep.model'))
    expect(loaded.predict(small).data).toEqual(expected)
    for (let level = 0; level < 100; level++) module = new nn.Residual(module)
    expect(await failureOf(saveModel(module, path('deeper.model')))).toMatchObject({
      code: 'ERR_STATE',
      message: expect.stringMatching(/deep/),
    })
  })

  test('standardisation of 400,000 features', async () => {
    const scale = standardize(new Random(1).normal([2, 400_000]))
    await saveModel(new nn.ReLU(), path('wide.model'), { transforms: [scale] })
    const loaded = await loadModel(path('wide.model'))
    expect(JSON.stringify(loaded.transforms[0])).toBe(JSON.stringify(scale))
  })

  test('a text of 20 MB', async () => {
    const classes = ['a'.repeat(10_000_000), '"'.repeat(2_000_000)]
    await saveModel(new nn.Linear(1, 2), path('long.model'), { classes })
    expect((await loadModel(path('long.model'))).classes).toEqual(classes)
  })

  test('a header beyond the limit of the format', { timeout: 60_000 }, async () => {
    const metadata = { note: 'a'.repeat(100_000_000) }
    expect(await failureOf(writeSafetensors(path('huge'), { a: zeros([1]) }, { metadata }))).toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/at most 100000000 bytes/),
    })
    expect(codeOf(() => encodeSafetensors({ a: zeros([1]) }, metadata))).toBe('ERR_FILE')
    expect(existsSync(path('huge'))).toBe(false)
    const largest = { note: 'a'.repeat(99_999_000) }
    await writeSafetensors(path('large'), { a: zeros([1]) }, { metadata: largest })
    expect((await readSafetensors(path('large'))).metadata.note?.length).toBe(99_999_000)
  })

  test('transforms deeper than a reader goes', async () => {
    let nested: unknown = 1
    for (let level = 0; level < 80; level++) nested = [nested]
    const transform = Object.assign((x: unknown) => x, {
      toJSON: () => ({ kind: 'standardize', shape: [1], shift: [0], scale: [1], offset: [0], nested }),
    })
    expect((await failureOf(saveModel(new nn.ReLU(), path('nested.model'), { transforms: [transform as never] }))).code).toBe('ERR_FILE')
    expect(existsSync(path('nested.model'))).toBe(false)
  })
})

describe('what came in is echoed in short', () => {
  const long = 'x'.repeat(4_600_000)
  const says = async (code: string, run: () => unknown) => {
    const failure = await failureOf((async () => run())())
    expect({ code: failure.code, short: failure.message.length < 1000 }, failure.message.slice(0, 300)).toEqual({ code, short: true })
  }
  test('in errors of every reader', async () => {
    const encode = recordEncoder([
      { name: long, kind: 'number' },
      { name: 'b', kind: 'category', categories: [long, 'v'] },
    ])
    await says('ERR_DATA', () => encode({ [long]: long, b: 'v' }))
    await says('ERR_LABEL', () => encode({ [long]: 1, b: `${long}y` }))
    await says('ERR_DATA', () => readCsv(csv(`a,y\n1,2\n${long},2\n`), { target: 'y' }))
    await says('ERR_DATA', () => readCsv(csv(`${long},y\n1,2\nx,2\n`), { target: 'y' }))
    await says('ERR_OPTION', () => readCsv(csv(`${long},z\n1,2\nx,2\n`), { target: 'y' }))
    await says('ERR_FILE', () => readCsv(csv(`${long},${long}\n1,2\n`), { target: 'y' }))
    await says('ERR_FILE', () => readCsv(csv(`a,y\n1,2\n1,2,${long}\n`), { target: 'y' }))
    await says('ERR_FILE', () => parseJSON('test', `{"${long}":1,"${long}":2}`))
    await says('ERR_FILE', () => parseJSON('test', long))
    await says('ERR_FILE', () => decodeModel(modelFile({ modules: [{ type: long, config: {} }] })))
    await says('ERR_FILE', () => decodeModel(modelFile({ modules: [{ type: 'Linear', config: { [long]: 1 } }] })))
    await says('ERR_FILE', () => decodeModel(modelFile({ frozen: [long] })))
    await says('ERR_FILE', () => decodeModel(modelFile({}, { [long]: tensor([1]) })))
    await says('ERR_FILE', () => decodeModel(modelFile({ transforms: [{ kind: long }] })))
    await says('ERR_VALUE', () => transformFromJSON({ kind: 'oneHot', shape: [2], columns: long }))
    await says('ERR_SHAPE', () => transformFromJSON({ kind: 'oneHot', shape: [long] }))
    await says('ERR_SHAPE', () => tensor([1], { shape: count(500_000, () => 7) }))
  })

  test('and the library\u2019s own messages stay bounded, the end kept', () => {
    const { message } = new WengertError('ERR_VALUE', `op: ${long} and what to do`)
    expect(message.length).toBeLessThan(2100)
    expect(message).toMatch(/^op: x+ … \(\d+ characters left out\) … x+ and what to do$/)
  })

  test('whatever a value says of itself', () => {
    expect(described({ constructor: { name: { toString: 1 } } })).toBe('Object')
    expect(described(JSON.parse('{"constructor":{"name":{"toString":1}},"__proto__":1}'))).toBe('Object')
    expect(described(Object.create(null))).toBe('an object')
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(described(proxy)).toBe('an object')
    expect(codeOf(() => recordEncoder([{ name: 'a', kind: 'category', categories: ['u'] }])({ a: { toString: 1 } }))).toBe('ERR_LABEL')
    let nested: unknown = 'u'
    for (let level = 0; level < 100_000; level++) nested = [nested]
    expect(codeOf(() => recordEncoder([{ name: 'a', kind: 'category', categories: ['u'] }])({ a: nested }))).toBe('ERR_LABEL')
    expect(codeOf(() => recordEncoder([{ name: 'a', kind: 'number' }])({ a: { constructor: { name: { toString: 1 } } } }))).toBe('ERR_DATA')
  })

  test('a request for more memory than there is', () => {
    const encode = recordEncoderFromJSON({ fields: [{ name: 'a', kind: 'category', optional: true, categories: count(100_000, String) }] })
    expect(codeOf(() => encode(count(100_000_000 / 1000, () => ({}))))).toBe('ERR_MEMORY')
  })
})

const command = fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url))
test.runIf(existsSync(command))('the command knows its own names alone', () => {
  for (const name of ['toString', 'constructor', '__proto__', 'hasOwnProperty', 'x'.repeat(100_000)]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [command, name], { encoding: 'utf8' })
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' })
    expect(stderr).toMatch(/^wengert: unknown command '.{1,45}'\n\nUsage/)
    expect(stderr).not.toMatch(/\n\s+at /)
  }
})

test('the table of promises names tests that are there', () => {
  const root = new URL('../../', import.meta.url)
  const text = readFileSync(new URL('SECURITY.md', root), 'utf8')
  const named = [...text.matchAll(/`(test\/[\w/.-]+|test:\w+|hostile-files)`/g)].map(([, name]) => name as string)
  expect(named.length).toBeGreaterThan(20)
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { scripts: Record<string, string> }
  for (const name of named) {
    if (name.startsWith('test:')) expect(scripts).toHaveProperty([name])
    else if (name !== 'hostile-files') expect(existsSync(fileURLToPath(new URL(name, root))), name).toBe(true)
  }
})

test.runIf(existsSync(command)).each(['native', 'js'])(
  'the library withstands 100 rounds of random use on %s',
  { timeout: 300_000 },
  (engine) => {
    const file = fileURLToPath(new URL('../fuzz/library-fuzz.mjs', import.meta.url))
    const env = { ...process.env, ...(engine === 'js' && { WENGERT_BACKEND: 'js' }) }
    const { status, stdout, stderr } = spawnSync(process.execPath, [file, '--rounds', '100', '--seed', engine === 'js' ? '1' : '500'], {
      encoding: 'utf8',
      env,
    })
    expect(`${status} ${stdout}${stderr}`).toMatch(/^0 /)
    const { rounds, done, refused } = JSON.parse(stdout) as { rounds: number; done: number; refused: Record<string, number> }
    expect(rounds).toBe(100)
    expect(done).toBeGreaterThan(50)
    expect(refused.ERR_MEMORY).toBeGreaterThan(20)
    expect(refused.ERR_FILE).toBeGreaterThan(10)
  },
)
