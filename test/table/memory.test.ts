/**
 * Memory that runs out on the way from rows to predictions: each allocation in turn is refused, as JavaScript refuses one. Every call
 * fails with ERR_MEMORY, leaves what there was as it was, and gives the same as ever once there is memory again.
 */

import { afterAll, expect, test } from 'vitest'

/** Allocations of at least so many bytes are counted; the one whose turn it is fails. */
const least = 512
let turn = -1
let count = 0
const real = {
  ArrayBuffer,
  SharedArrayBuffer,
  Float32Array,
  Float64Array,
  Int32Array,
  Uint8Array,
  Uint16Array,
  Uint32Array,
  allocUnsafe: Buffer.allocUnsafe,
}

function refuse(bytes: number): void {
  if (turn < 0 || bytes < least) return
  if (count++ === turn) throw new RangeError('Array buffer allocation failed')
}

for (const name of [
  'ArrayBuffer',
  'SharedArrayBuffer',
  'Float32Array',
  'Float64Array',
  'Int32Array',
  'Uint8Array',
  'Uint16Array',
  'Uint32Array',
] as const) {
  const Real = real[name] as unknown as new (...args: unknown[]) => object
  const size = (Real as unknown as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1
  ;(globalThis as Record<string, unknown>)[name] = new Proxy(Real, {
    construct(target, args, self) {
      if (typeof args[0] === 'number') refuse(args[0] * size)
      return Reflect.construct(target, args, self)
    },
  })
}
Buffer.allocUnsafe = (size: number) => {
  refuse(size)
  return real.allocUnsafe(size)
}
afterAll(() => {
  const { allocUnsafe, ...constructors } = real
  Object.assign(globalThis, constructors)
  Buffer.allocUnsafe = allocUnsafe
})

// After the constructors were replaced: the library takes them as it is loaded.
const w = await import('../../lib/index.js')

const csv = [
  'a,b,c,when,note,y',
  ...Array.from(
    { length: 400 },
    (_, i) =>
      `${i % 7 ? (i * 37) % 101 : ''},${i * 1.5},k${i % 5},2026-01-${String(1 + (i % 28)).padStart(2, '0')},text number ${i * 7} of many words,${i % 3 ? 'no' : 'yes'}`,
  ),
].join('\n')
const source = () =>
  w.readTable(
    (async function* () {
      yield Buffer.from(csv)
    })(),
  )
const rows = await source()
const [train, test_] = w.split(rows, { parts: [0.7, 0.3], stratify: 'y', seed: 1 })
const options = { target: 'y', columns: { note: w.text(), a: w.number({ scale: 'quantiles' }) } } as const
const table = w.fitTable(train, options)
const model = new w.nn.Sequential(
  table.input({ rng: new w.Random(1) }),
  new w.nn.Linear(table.width, table.outputs, { rng: new w.Random(2) }),
)
const series = new w.Dataset(
  Array.from({ length: 300 }, (_, i) => Array.from({ length: 100 }, (_unused, k) => i + k)),
  Array.from({ length: 300 }, (_, i) => [i]),
)
const predictor = new w.TablePredictor(model, table, { outputs: 'logits' })
const { y: _, ...record } = rows.record(3)

const calls: Record<string, () => unknown> = {
  readTable: source,
  fitTable: () => JSON.stringify(w.fitTable(train, options)),
  'a fitted table': () => Array.from(table(test_).x.data),
  encode: () => Array.from(table.encode(Array.from({ length: 50 }, () => record)).data),
  streamTable: async () => {
    const sizes: number[] = []
    for await (const part of w.streamTable(
      (async function* () {
        yield Buffer.from(csv)
      })(),
    ))
      sizes.push(part.length)
    return sizes
  },
  split: () => w.split(rows, { parts: [0.5, 0.5], seed: 1 }).map(({ length }) => length),
  folds: () => w.folds(rows, { folds: 3, seed: 1 }).length,
  predict: () => predictor.predict(test_).map(({ probability }) => probability),
  calibrate: () => w.calibrate(model, table, test_),
  permutationImportance: () => w.permutationImportance(model, table, test_, { seed: 1 }).length,
  partialDependence: () => JSON.stringify(w.partialDependence(model, table, test_, 'b')),
  findLeaks: () => w.findLeaks(train, 'y').length,
  scoreTable: () => w.scoreTable(model, table, test_),
  windows: () => w.windows(series, { length: 8 }).x.shape,
  'Dataset.take': () => series.take([1, 2, 3, 4, 5, 6, 7, 8, ...Array.from({ length: 100 }, (_, i) => i)]).length,
  'Dataset.fromRecords': () =>
    w.Dataset.fromRecords(
      Array.from({ length: 300 }, (_, i) => ({ a: i, y: i })),
      { x: ['a'], y: 'y' },
    ).length,
  'split of a data set': () => w.split(series, { test: 0.2, seed: 1 })[1].length,
  standardize: () => JSON.stringify(w.standardize(series)),
  'a transform': () => w.minMax(series)(series).length,
}

for (const [name, call] of Object.entries(calls))
  test(`${name}: every allocation refused in turn is ERR_MEMORY, and the next call is whole`, async () => {
    const said = async () => JSON.stringify(await call())
    const whole = await said()
    const before = JSON.stringify(table)
    let refused = 0
    for (let i = 0; i < 400; i++) {
      turn = i
      count = 0
      try {
        await call()
        if (count <= i) break
      } catch (error) {
        refused++
        expect((error as { code?: string }).code, `allocation ${i}: ${(error as Error).stack}`).toBe('ERR_MEMORY')
      } finally {
        turn = -1
      }
    }
    expect(refused).toBeGreaterThan(0)
    expect(await said()).toBe(whole)
    expect(JSON.stringify(table)).toBe(before)
  })
