/** How training ends when it is not waited for: exit, termination, collection, cancellation, detached memory. */

import { expect, test, vi } from 'vitest'
import { elementwiseCodes, type Program } from '../../lib/backend/program.js'
import { Builder, call, codeOf, f64, readState } from '../backend/engines.js'
import { onNative, runScript, wordsOf } from './native.js'

const { add } = elementwiseCodes

/** state ← state + 1, and products large enough for the pool. */
function endless(products = 0): Program {
  const b = new Builder()
  const s = b.stored(1)
  b.step(call('elementwise', [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, add, 0, 1, 0], [1]), [s], [s])
  const n = 256
  if (products > 0) {
    const [x, y] = [b.scratch(n * n), b.scratch(n * n)]
    for (let i = 0; i < products; i++) b.step(call('matmul', [1, n, n, n, 0, 0, 0, 0], [1, 0]), [y], [x, x])
  }
  return b.program()
}

/** In a child: trains without end, twice over (one of them on the pool), and calls `then` after some milliseconds. */
const trainAnd = (then: string) => `
  const { file, programs, ms } = JSON.parse(process.argv[1])
  const train = () => {
    const addon = require(file)
    for (const words of programs) {
      const state = addon.createState(8, Float64Array.of(0, 1, 1))
      const runner = addon.createRunner(state, [addon.compile(Float64Array.from(words))])
      addon.runBlock(runner, Float64Array.of(1e12, 0, 0, 1)).then(() => console.log('ended'), (error) => console.log(error))
    }
  }
  ${then}
`
const worker = `
  const { Worker } = require('node:worker_threads')
  const source = 'const { workerData } = require("node:worker_threads"); process.argv[1] = workerData.given; (' + body + ')()'
  const start = () => new Worker(source, { eval: true, workerData: { given: process.argv[1] } })
`

onNative('lifecycle', (native) => {
  const { addon, backend, file } = native
  const programs = () => [endless(), endless(4)].map((program) => Array.from(wordsOf(native, program)))
  const child = (then: string, ms: number, flags: readonly string[] = []) =>
    runScript(trainAnd(then), { file, programs: programs(), ms }, flags)

  test('process.exit in the middle of training', () => {
    for (let i = 0; i < 20; i++) {
      expect(child('train(); setTimeout(() => process.exit(7), ms)', i)).toEqual({ status: 7, signal: null, output: '' })
    }
  })

  test('process.exit in the call that starts it, and an uncaught error', () => {
    for (let i = 0; i < 5; i++) {
      expect(child('train(); process.exit(7)', 0)).toEqual({ status: 7, signal: null, output: '' })
      const thrown = child('train(); setTimeout(() => { throw new Error("planned") }, ms)', i)
      expect([thrown.status, thrown.signal]).toEqual([1, null])
      expect(thrown.output).toContain('planned')
    }
  })

  test('a worker that is terminated, or exits, in the middle of training', () => {
    const script = (end: string) => `
      const body = 'function () {' + ${JSON.stringify(trainAnd('train(); setTimeout(() => { END }, ms)'))}.replace('END', ${JSON.stringify(end)}) + '}'
      ${worker}
      const main = async () => {
        for (let i = 0; i < 10; i++) {
          const one = start()
          const done = new Promise((resolve) => one.on('exit', resolve))
          if (${JSON.stringify(end)} === '') {
            await new Promise((resolve) => one.on('online', resolve))
            await new Promise((resolve) => setTimeout(resolve, 2 * i))
            await one.terminate()
          }
          await done
        }
        console.log('all')
      }
      main()
    `
    for (const end of ['', 'process.exit(0)']) {
      for (let i = 0; i < 2; i++) {
        expect(runScript(script(end), { file, programs: programs(), ms: 5 * i })).toEqual({ status: 0, signal: null, output: 'all\n' })
      }
    }
  })

  test('process.exit of the main thread while workers train', () => {
    const script = `
      const body = 'function () {' + ${JSON.stringify(trainAnd('train()'))} + '}'
      ${worker}
      for (let i = 0; i < 2; i++) start()
      const { ms } = JSON.parse(process.argv[1])
      setTimeout(() => process.exit(7), 40 + ms)
    `
    for (let i = 0; i < 10; i++) {
      expect(runScript(script, { file, programs: programs(), ms: 3 * i })).toEqual({ status: 7, signal: null, output: '' })
    }
  })

  test('a running block keeps the process alive, an idle runner does not', () => {
    const script = `
      const { file, programs } = JSON.parse(process.argv[1])
      const addon = require(file)
      const state = addon.createState(8, new Float64Array(0))
      const runner = addon.createRunner(state, [addon.compile(Float64Array.from(programs[0]))])
      addon.runBlock(runner, Float64Array.of(1, 0, 0, 2000000)).then(({ status, runs }) => console.log(status, runs))
    `
    expect(runScript(script, { file, programs: programs() })).toEqual({ status: 0, signal: null, output: 'done 2000000\n' })
  })

  test('runners that are forgotten: idle ones go, a running one finishes its block', async () => {
    const gc = globalThis.gc as () => void
    const settle = async () => {
      for (let i = 0; i < 10; i++) {
        gc()
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    const program = backend.compile(endless())
    const block = (repeat: number) => ({ epochs: 1, segments: [{ program: 0, repeat }], windows: {} })
    const make = async (bytes: number) => {
      const state = backend.createState(bytes, [])
      const runner = backend.createRunner(state, [program], [])
      return (await runner.run(block(1))).runs
    }
    // Nothing but what the collector was told of these blocks (each with two snapshots: 3.6 GB in all) makes it look for them.
    const before = process.memoryUsage().rss
    let highest = 0
    for (let i = 0; i < 150; i++) {
      expect(await make(8 << 20)).toBe(1)
      highest = Math.max(highest, process.memoryUsage().rss - before)
    }
    expect(highest).toBeLessThan(1.5e9)
    await settle()
    expect(process.memoryUsage().rss - before).toBeLessThan(0.5e9)
    const forgotten = (() => backend.createRunner(backend.createState(8, []), [program], []).run(block(3_000_000)))()
    await settle()
    expect((await forgotten).runs).toBe(3_000_000)
  })

  test('shared memory stays while it is borrowed', async () => {
    const gc = globalThis.gc as () => void
    const b = new Builder()
    const s = b.stored(1)
    b.step(call('elementwise', [1, 1, 1, 2, 1, 0, 1, 1, 1, 1, 1, 2, add, 0, 1, 0]), [s], [s, b.input(0, 1)])
    const program = backend.compile(b.program({ inputs: [{ name: 'x', dtype: 'float64', length: 1, advance: 1 }] }))
    const n = 1 << 20
    const state = backend.createState(8, [])
    const make = () => backend.createRunner(state, [program], [new Float64Array(new SharedArrayBuffer(8 * n)).fill(1)])
    const runner = make()
    for (let i = 0; i < 5; i++) {
      gc()
      new Float64Array(new SharedArrayBuffer(8 * n)).fill(9)
      await runner.run({ epochs: 1, segments: [{ program: 0, repeat: n }], windows: {} })
    }
    expect(readState(state, 1)).toEqual([5 * n])
    runner.close()
  })

  test('cancel is heard within milliseconds, whatever the length of the block, and leaves whole runs', async () => {
    const program = backend.compile(endless())
    const state = backend.createState(8, [{ offset: 0, length: 1, dtype: 'float64' }])
    const runner = backend.createRunner(state, [program], [])
    for (let i = 0; i < 20; i++) {
      const before = readState(state, 1)[0] as number
      const done = runner.run({ epochs: 1, segments: [{ program: 0, repeat: 2 ** 50 }], windows: {} })
      if (i % 2 === 1) await new Promise((resolve) => setTimeout(resolve, i))
      const start = performance.now()
      runner.cancel()
      const { status, runs } = await done
      expect(performance.now() - start).toBeLessThan(500)
      expect(status).toBe('cancelled')
      expect(readState(state, 1)).toEqual([before + runs])
    }
    runner.close()
    runner.close()
    runner.cancel()
    expect(runner.progress.epochs).toBe(0)
  })

  test('detached arrays are refused everywhere', () => {
    const gone = f64(1, 2, 3)
    structuredClone(gone, { transfer: [gone.buffer as ArrayBuffer] })
    const b = new Builder()
    b.step(call('softmax', [1, 3, 1]), [b.scratch(3)], [b.input(0, 3)])
    const program = backend.compile(b.program({ inputs: [{ name: 'x', dtype: 'float64', length: 3, advance: 0 }] }))
    const state = backend.createState(24, [])
    for (const f of [
      () => backend.run(call('softmax', [1, 3, 1]), [f64(0, 0, 0)], [gone]),
      () => backend.run(call('softmax', [1, 3, 1]), [gone], [f64(0, 0, 0)]),
      () => program.run(undefined, [gone]),
      () => state.write(0, gone),
      () => state.read(0, gone),
      () => backend.createRunner(state, [program], [gone]),
    ]) {
      expect(codeOf(f)).toBe('ERR_DETACHED')
    }
  })

  test('more memory than there is', () => {
    expect(codeOf(() => backend.createState(2 ** 52, []))).toBe('ERR_MEMORY')
    const program = backend.compile({ ...endless(), arenaBytes: 2 ** 40, stateBytes: 8 })
    expect(codeOf(() => program.run(backend.createState(8, []), []))).toBe('ERR_MEMORY')
    const runner = backend.createRunner(backend.createState(8, []), [program], [])
    return expect(runner.run({ epochs: 1, segments: [], windows: {} })).rejects.toMatchObject({ code: 'ERR_MEMORY' })
  })

  test('errors have the stack of the caller', () => {
    const theCaller = () => {
      backend.run(call('softmax', [1, 4, 1]), [f64(0)], [f64(0)]) // no last call, whose caller some runtimes forget
      return true
    }
    try {
      theCaller()
    } catch (error) {
      expect((error as Error).name).toContain('ERR_PROGRAM')
      expect((error as Error).stack).toContain('theCaller')
    }
    expect(addon.threads()).toBeGreaterThan(0)
  })

  test('a binary that does not load: every attempt, its cause and the remedy', async () => {
    vi.stubEnv('WENGERT_ADDON', '/nowhere/wengert.node')
    vi.resetModules()
    const { loadAddon } = await import('../../lib/native/load.js')
    const error = (() => {
      try {
        return loadAddon()
      } catch (caught) {
        return caught as Error & { code: string }
      }
    })() as Error & { code: string }
    vi.unstubAllEnvs()
    vi.resetModules()
    expect(error.code).toBe('ERR_BACKEND')
    expect(error.message).toMatch(/[\\/]nowhere[\\/]wengert\.node: .*Cannot find module/)
    expect(error.message).toMatch(/WENGERT_ADDON names \/nowhere\/wengert\.node, so nothing else was tried: name a binary for/)
  })
})
