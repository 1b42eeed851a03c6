/**
 * `wengert/web` in a real browser: `node test/browser/web.mjs`. The digits model, trained and saved by Node, is fetched by a page
 * as bytes; its predictions are compared with Node's to 1e-5, and the page differentiates and trains. Skipped, with its reason, where
 * there is no Chromium. Needs the compiled library (npm test, or node scripts/setup.mjs).
 */

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadDigits, train } from '../../dist/examples/digits-task.js'
import { encodeModel } from '../../dist/lib/index.js'
import { bundleWeb } from '../../scripts/package/web.mjs'

const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
if (!browser) {
  console.log('skipped: the library in a browser, as there is no Chromium on this machine')
  process.exit(0)
}

const folder = mkdtempSync(join(tmpdir(), 'wengert-web-'))
await bundleWeb(new URL('../../dist/lib', import.meta.url).pathname, folder)
const [training, held] = await loadDigits(1)
const { model } = await train('MBSGD', [training, held], 1)
const expected = model.predict(held.x)

const page = `<!doctype html><meta charset="utf-8"><pre id="told"></pre><script type="module">
const told = {}
try {
  const small = await import('/web/predict.js')
  const model = await small.loadModel(await fetch('/digits.model'))
  const x = small.tensor(await (await fetch('/x.json')).json())
  told.predictions = Array.from(model.predict(x).data)
  told.engine = small.backend().name
  const whole = await import('/web.js')
  told.gradient = whole.grad((v) => v.square().sum())(whole.tensor([1, 2, 3])).toArray()
  const rng = new whole.Random(1)
  const { Linear, Sequential, Tanh } = whole.nn
  const xor = new Sequential(new Linear(2, 8, { rng }), new Tanh(), new Linear(8, 1, { rng }))
  const data = { x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [[0], [1], [1], [0]] }
  const trainer = new whole.FBGD(xor, { loss: whole.loss.squaredError, learningRate: 0.2 })
  told.cost = (await trainer.fit(data, { epochs: 1000, seed: 1 })).last.cost
  const again = await whole.loadModel(whole.encodeModel(xor))
  told.kept = again.predict([1, 0]).toArray()[0] - xor.predict([1, 0]).toArray()[0]
  told.refused = await trainer.save('x').then(() => 'saved', (error) => error.code)
  told.shared = typeof SharedArrayBuffer
} catch (error) { told.error = String(error.stack ?? error) }
document.getElementById('told').textContent = JSON.stringify(told)
await fetch('/told', { method: 'POST', body: JSON.stringify(told) })
</script>`

const files = {
  '/': ['text/html', () => page],
  '/digits.model': ['application/octet-stream', () => encodeModel(model)],
  '/x.json': ['application/json', () => JSON.stringify(held.x.toArray())],
}
let child
const told = await new Promise((resolve, reject) => {
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      let text = ''
      for await (const part of request) text += part
      response.end()
      server.close()
      return resolve(JSON.parse(text))
    }
    const [type, content] = files[request.url] ?? ['text/javascript', () => readFileSync(join(folder, request.url))]
    try {
      const body = content()
      response.writeHead(200, { 'content-type': type }).end(body)
    } catch {
      response.writeHead(404).end()
    }
  }).listen(0, '127.0.0.1', () => {
    const profile = `--user-data-dir=${join(folder, 'profile')}`
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', profile, `http://127.0.0.1:${server.address().port}/`]
    child = spawn(browser, flags, { stdio: 'ignore' })
    child.on('error', reject)
    setTimeout(() => reject(new Error('the page said nothing for two minutes')), 120_000).unref()
  })
})
child.kill()

const failures = []
const check = (name, right, got) => {
  console.log(`${right ? '✓' : '✗'} ${name}${right ? '' : `: got ${JSON.stringify(got)}`}`)
  if (!right) failures.push(name)
}
check('no error', told.error === undefined, told.error)
const difference = told.predictions ? Math.max(...told.predictions.map((value, i) => Math.abs(value - expected.data[i]))) : Infinity
check(
  `predictions of ${expected.shape[0]} digits as in Node, to 1e-5`,
  told.predictions?.length === expected.size && difference < 1e-5,
  difference,
)
check('the JavaScript engine', told.engine === 'js', told.engine)
check('a gradient', JSON.stringify(told.gradient) === '[2,4,6]', told.gradient)
check('exclusive or is learned', told.cost < 0.01, told.cost)
check('a model through its bytes', told.kept === 0, told.kept)
check('files are refused', told.refused === 'ERR_FILE', told.refused)
console.log(`largest difference ${difference.toExponential(1)}; SharedArrayBuffer in the page: ${told.shared}`)
await new Promise((resolve) => child.on('exit', resolve))
rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
process.exitCode = failures.length > 0 ? 1 : 0
