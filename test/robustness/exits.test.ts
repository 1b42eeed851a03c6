/**
 * How a process that trains comes to its end, on the compiled library: exits, errors and signals in the middle of training, on
 * the main thread and in a worker; children started meanwhile; memory that cannot be had; the addon's fuzzer. Each ending five
 * times, or as often as WENGERT_TIMES says: `npm run test:exit` takes 50, and then also asks that each takes 200 ms at most.
 */

import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { backend } from '../../lib/backend/select.js'
import { unless } from '../native/native.js'

const library = new URL('../../dist/lib/index.js', import.meta.url).href
const times = Number(process.env.WENGERT_TIMES ?? 5)
const strict = process.env.WENGERT_TIMES !== undefined
const native = backend().name === 'native'

const training = `
  const { MBSGD, nn, loss, Random } = await import(${JSON.stringify(library)})
  const rng = new Random(1)
  const model = new nn.Sequential(new nn.Linear(64, 256, { rng }), new nn.ReLU(), new nn.Linear(256, 10, { rng }))
  const data = { x: rng.normal([2048, 64]), y: rng.normal([2048, 10]) }
  const trainer = new MBSGD(model, { loss: loss.mse, batchSize: 128, learningRate: 1e-4 })
  const fit = trainer.fit(data, { epochs: 1e6, seed: 1 });
`
/** A training whose products take seconds each on one thread: an exit comes in the middle of one. */
const long = `
  const { MBSGD, nn, loss, tensor } = await import(${JSON.stringify(library)})
  const n = 1536
  const model = new nn.Linear(n, n)
  const x = tensor(new Float32Array(4 * n * n).fill(0.5), { shape: [4 * n, n] })
  const trainer = new MBSGD(model, { loss: loss.mse, batchSize: 4 * n, learningRate: 1e-9 })
  const fit = trainer.fit({ x, y: x }, { epochs: 1e6, seed: 1 });
`
/** One run of a program that takes minutes in a loop, beside the main thread. */
const looping = `
  const { compile, scan, tensor } = await import(${JSON.stringify(library)})
  const far = compile((x) => scan((h) => [h.mul(0.999), undefined], x, null, { length: 1e11 })[0])
  const fit = far.async(tensor([1, 2]));
`
const inWorker = (body: string, fit = training) => `
  const { Worker } = await import('node:worker_threads')
  const source = ${JSON.stringify(`(async () => { ${fit} (await import('node:worker_threads')).parentPort.postMessage('trains'); BODY })()`)}
  const worker = new Worker(source.replace('BODY', () => ${JSON.stringify(body)}), { eval: true })
  // At once: both may come together with the message.
  const ended = new Promise((done) => worker.once('error', (error) => done(error.message)).once('exit', done))
  await new Promise((done) => worker.once('message', done))
`

interface Ending {
  status: number | null
  signal: string | null
  stderr: string
  /** From the word on stdout that the end begins, or from the signal. */
  ms: number
}

/** Runs a module that says 'end' right before its end; a signal is sent instead where one is given. */
function ending(code: string, signal?: NodeJS.Signals): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'pipe'] })
    let stderr = ''
    let from = Number.NaN
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.stdout.on('data', () => {
      from = performance.now()
      if (signal) child.kill(signal)
    })
    child.on('error', reject)
    child.on('exit', (status, got) => resolve({ status, signal: got, stderr, ms: performance.now() - from }))
  })
}

const end = "process.stdout.write('end')"
const endings: { name: string; code: string; signal?: NodeJS.Signals; status: number | null; says?: string }[] = [
  { name: 'process.exit', code: `${training} setTimeout(() => { ${end}; process.exit(7) }, 20)`, status: 7 },
  {
    name: 'an uncaught exception',
    code: `${training} setTimeout(() => { ${end}; throw new Error('planned') }, 20)`,
    status: 1,
    says: 'planned',
  },
  { name: 'SIGTERM', code: `${training} setTimeout(() => { ${end} }, 20)`, signal: 'SIGTERM', status: null },
  {
    name: 'process.exit while a worker trains',
    code: `${inWorker('await fit')} ${training} setTimeout(() => { ${end}; process.exit(7) }, 20)`,
    status: 7,
  },
  {
    name: 'process.exit in a worker',
    code: `${inWorker('setTimeout(() => process.exit(9), 5)')} ${end}; process.exit(await ended)`,
    status: 9,
  },
  {
    name: 'an uncaught exception in a worker',
    code: `${inWorker("setTimeout(() => { throw new Error('planned') }, 5)")} ${end}; process.exit((await ended) === 'planned' ? 8 : 1)`,
    status: 8,
  },
  { name: 'SIGTERM while a worker trains', code: `${inWorker('await fit')} ${end}`, signal: 'SIGTERM', status: null },
  { name: 'process.exit in a long product', code: `${long} setTimeout(() => { ${end}; process.exit(7) }, 150)`, status: 7 },
  {
    name: 'terminate in a long product',
    code: `${inWorker('await fit', long)} await new Promise((done) => setTimeout(done, 150)); ${end}; await worker.terminate(); process.exit(5)`,
    status: 5,
  },
  { name: 'process.exit in a long loop', code: `${looping} setTimeout(() => { ${end}; process.exit(7) }, 20)`, status: 7 },
  {
    name: 'terminate in a long loop',
    code: `${inWorker('await fit', looping)} await new Promise((done) => setTimeout(done, 20)); ${end}; await worker.terminate(); process.exit(5)`,
    status: 5,
  },
  {
    name: 'terminate, again and again, while the main thread and others train',
    code: `${training}
      ${[1, 2, 3, 4].map(() => `{ ${inWorker('await fit')} globalThis.workers = [...(globalThis.workers ?? []), worker] }`).join('\n')}
      await workers[0].terminate(); await workers[1].terminate(); ${end}; process.exit(trainer === undefined ? 1 : 5)`,
    status: 5,
  },
]

describe.runIf(existsSync(fileURLToPath(library)))('a process that trains ends', () => {
  for (const { name, code, signal, status, says } of endings) {
    test(`by ${name}, ${times} times`, { timeout: 60_000 + 40_000 * times }, async () => {
      const took: number[] = []
      for (let i = 0; i < times; i++) {
        const got = await ending(code, signal)
        took.push(got.ms)
        expect(got.stderr).toMatch(says ?? /^$/)
        expect({ status: got.status, signal: got.signal }).toEqual({ status, signal: signal ?? null })
        expect(got.stderr).not.toMatch(/terminate called|abort|Assertion|FATAL|core dumped/i)
        if (strict) expect(got.ms).toBeLessThan(200)
      }
      took.sort((a, b) => a - b)
      if (strict) console.log(`${name}: median ${took[times >> 1]?.toFixed(0)} ms, longest ${took.at(-1)?.toFixed(0)} ms`)
    })
  }

  test('children are started while it trains', () => {
    const code = `${training}
      const { execFileSync, spawnSync } = await import('node:child_process')
      for (let i = 0; i < 5; i++) {
        if (spawnSync(process.execPath, ['-e', 'process.exit(3)']).status !== 3) process.exit(1)
        await new Promise((wake) => setTimeout(wake, 5))
      }
      process.exit(String(execFileSync('echo', ['good'])).trim() === 'good' ? 0 : 2)`
    const { status, signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
  })
})

describe.runIf(native && process.platform === 'linux')('the addon', () => {
  const sanitized = process.env.WENGERT_SANITIZED === '1'
  const why = unless(!sanitized, 'the address sanitizer wants terabytes of addresses itself')
  test.skipIf(sanitized)(`says ERR_MEMORY where the system gives none, and lives on${why}`, () => {
    const code = `
      const { tensor, backend } = await import(${JSON.stringify(library)})
      const { loadAddon } = await import(${JSON.stringify(new URL('native/load.js', library).href)})
      const addon = loadAddon()
      const kept = []
      let code
      try {
        for (let i = 0; i < 1000; i++) kept.push(addon.createState(2 ** 28, new Float64Array(0)))
      } catch (error) { code = error.code }
      console.log(code, tensor([1, 2]).add(1).toArray().join(), backend().name, kept.length < 1000)
      process.exit(0)`
    // 16 GB of addresses: Node alone takes some.
    const shell = ['-c', 'ulimit -v 16000000; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', code]
    const { status, stdout, stderr } = spawnSync('sh', shell, { encoding: 'utf8' })
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'ERR_MEMORY 2,3 native true\n', stderr: '' })
  })

  test('withstands 20,000 random calls', { timeout: 300_000 }, () => {
    const file = fileURLToPath(new URL('../fuzz/addon-fuzz.mjs', import.meta.url))
    const { status, stdout, stderr } = spawnSync(process.execPath, [file, '--calls', '20000'], { encoding: 'utf8' })
    expect(`${status} ${stdout}${stderr}`).toMatch(/^0 /)
    const { calls, passed } = JSON.parse(stdout) as { calls: number; passed: number }
    expect(calls).toBe(20_000)
    expect(passed).toBeGreaterThan(1000)
  })
})
