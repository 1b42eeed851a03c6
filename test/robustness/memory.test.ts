/**
 * Memory that runs out: a call that lacks it fails with ERR_MEMORY, leaves the model as it was, and works once there is some. The
 * child's addresses are limited (as containers limit them) and filled up but for a remainder, so that each allocation on the way
 * is the one that fails.
 */

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { backend, Dataset, nn, tensor, zeros } from '../../lib/index.js'
import { allocate, allocateShared } from '../../lib/util/dtype.js'
import { codeOf } from '../backend/engines.js'
import { unless } from '../native/native.js'

const library = new URL('../../dist/lib/index.js', import.meta.url)
const sanitized = process.env.WENGERT_SANITIZED === '1'
const possible = existsSync(fileURLToPath(library)) && process.platform === 'linux' && !sanitized
const why = unless(possible, sanitized ? 'the address sanitizer wants terabytes of addresses itself' : 'it needs ulimit -v and dist/')

/** Fills the addresses up to some megabytes, then predicts, fits and aborts; prints what each came to. */
const script = (left: number, backend?: string) => `
  ${backend ? `process.env.WENGERT_BACKEND = '${backend}'` : ''}
  const { backend, nn, Random, MBSGD, loss } = await import(${JSON.stringify(library.href)})
  backend()
  const x = new Random(1).normal([256, 128]), y = new Random(3).normal([256, 1])
  const model = new nn.Sequential(new nn.Linear(128, 256, { rng: new Random(2) }), new nn.Tanh(), new nn.Linear(256, 1, { rng: new Random(4) }))
  const trainer = new MBSGD(model, { loss: loss.mse, batchSize: 64, learningRate: 0.01 })
  const parameters = Object.values(model.stateDict())
  const before = parameters.map((t) => t.data.slice())
  const same = () => parameters.every((t, i) => t.data.every((value, j) => value === before[i][j]))
  same()
  const kept = []
  for (const size of [2 ** 28, 2 ** 26, 2 ** 24])
    try { for (;;) kept.push(new ArrayBuffer(size)) } catch {}
  let freed = 0
  while (freed < ${left} * 2 ** 20) freed += kept.pop().byteLength
  globalThis.gc()
  await new Promise((done) => setTimeout(done, 50))
  const said = []
  const tried = async (name, run) => { try { await run(); said.push(name + ' done') } catch (error) { said.push(name + ' ' + error.code) } }
  await tried('product', () => x.matmul(new Random(2).normal([128, 256])))
  await tried('predict', () => model.predict(x))
  await tried('async', () => model.predictAsync(x))
  await tried('fit', () => trainer.fit({ x, y }, { epochs: 2, seed: 1 }))
  const [fit] = said.slice(-1)
  const unchanged = same() && trainer.epoch === 0 && trainer.updates === 0
  if (fit === 'fit done' ? unchanged : !unchanged) said.push('WRONG STATE')
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 100)
  await tried('aborted', () => trainer.fit({ x, y }, { epochs: 1e6, seed: 1, signal: stop.signal }))
  kept.length = 0
  globalThis.gc()
  await new Promise((done) => setTimeout(done, 50))
  await tried('then', () => trainer.fit({ x, y }, { epochs: 2, seed: 1 }))
  await tried('and', () => model.predict(x))
  console.log(said.join(', '))
  process.exit(0)`

describe.skipIf(!possible)(`where the addresses run out${why}`, () => {
  const outcomes = (left: number, backend?: string) => {
    const shell = [
      '-c',
      'ulimit -v 8000000; exec "$@"',
      'sh',
      process.execPath,
      '--expose-gc',
      '--input-type=module',
      '-e',
      script(left, backend),
    ]
    // V8 ends the process where its own heap, of small objects, finds no page: nothing that a library can answer to. The script
    // makes no large string or array of its own while memory is short, so that this is rare; another run is made then, eight at most.
    const byV8 = /FATAL ERROR: .*JavaScript heap out of memory/
    let run = spawnSync('sh', shell, { encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' })
    for (let again = 1; again < 8 && run.signal === 'SIGABRT' && byV8.test(run.stderr); again++)
      run = spawnSync('sh', shell, { encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' })
    const { status, signal, stdout, stderr } = run
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
    expect(stdout).toMatch(
      /^product (done|ERR_MEMORY), predict (done|ERR_MEMORY), async (done|ERR_MEMORY), fit (done|ERR_MEMORY), aborted (20|ERR_MEMORY), then done, and done\n$/,
    )
    return stdout
  }
  test.each([0, 64, 256, 512, 1024])(
    'with %i MB left, everything settles: done, or ERR_MEMORY with nothing changed',
    { timeout: 120_000 },
    (left) => {
      const said = outcomes(left)
      if (left === 0) expect(said).toMatch(/fit ERR_MEMORY/)
      if (left === 1024) expect(said).not.toMatch(/ERR_MEMORY/)
    },
  )
  test('on the JavaScript engine too', { timeout: 120_000 }, () => {
    outcomes(0, 'js')
    outcomes(32, 'js')
  })
})

test('what JavaScript cannot allocate is ERR_MEMORY', () => {
  expect(codeOf(() => allocate('float64', 2 ** 52))).toBe('ERR_MEMORY')
  expect(codeOf(() => allocateShared('float64', 2 ** 52))).toBe('ERR_MEMORY')
  expect(codeOf(() => zeros([2 ** 26, 2 ** 26]))).toBe('ERR_MEMORY')
  const one = tensor([1])
  expect(codeOf(() => new Dataset(one, one).take({ length: 2 ** 52 }))).toBe('ERR_MEMORY')
})

describe('what is kept for shapes seen before', () => {
  const wide = () => new nn.Sequential(new nn.Linear(8, 4096), new nn.Tanh(), new nn.Linear(4096, 1))
  const kept = () => backend().cachedBytes as number

  test('is bounded by bytes: 16 sizes of batches near 2,000', () => {
    const before = kept()
    const model = wide()
    for (let i = 0; i < 16; i++) model.predict(zeros([2000 + i, 8]))
    const held = kept() - before
    expect(held).toBeGreaterThan(2000 * 4096 * 4)
    // All of them would be half a gigabyte.
    expect(held).toBeLessThan(80 * 2 ** 20)
    expect(model.predict(zeros([3, 8])).shape).toEqual([3, 1])
  })

  test('is many where they are small', () => {
    const model = wide()
    const before = kept()
    const held: number[] = []
    for (let round = 0; round < 3; round++) {
      for (let rows = 1; rows <= 40; rows++) model.predict(zeros([rows, 8]))
      held.push(kept() - before)
    }
    expect(held).toEqual(new Array(3).fill(held[0]))
    expect(held[0]).toBeLessThan(64 * 2 ** 20)
  })

  test.skipIf(globalThis.gc === undefined)('goes with the model', async () => {
    const before = kept()
    ;(() => {
      wide().predict(zeros([500, 8]))
    })()
    for (let i = 0; i < 20 && kept() > before; i++) {
      globalThis.gc?.()
      await new Promise((done) => setTimeout(done, 10))
    }
    expect(kept()).toBeLessThanOrEqual(before)
  })
})
