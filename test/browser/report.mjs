/**
 * The report in a real browser: `node test/browser/report.mjs [FOLDER]` writes a page, opens it headless in light and in dark,
 * and fails where the console says anything, a figure is missing or a picture is empty. Pictures stay in FOLDER. Skipped,
 * with its reason, where there is no Chromium. Needs the compiled library (npm test, or node scripts/setup.mjs).
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { FBGD, loss, MBSGD, nn, Random, report, SGD } from '../../dist/lib/index.js'

const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
if (!browser) {
  console.log('skipped: the report in a browser, as there is no Chromium on this machine')
  process.exit(0)
}
const folder = process.argv[2] ? resolve(process.argv[2]) : mkdtempSync(join(tmpdir(), 'wengert-browser-'))
mkdirSync(folder, { recursive: true })

const rng = new Random(5)
const x = rng.normal([600, 16])
const truth = rng.normal([16, 6])
const unseen = rng.normal([200, 16])
const data = { x, y: x.matmul(truth).argmax(1) }
const validation = { x: unseen, y: unseen.matmul(truth).argmax(1) }
const histories = []
let model
for (const [Trainer, options] of [
  [FBGD, { learningRate: 0.5 }],
  [SGD, { learningRate: 0.02 }],
  [MBSGD, { learningRate: 0.1, batchSize: 32 }],
]) {
  const init = new Random(1)
  model = new nn.Sequential(new nn.Linear(16, 24, { rng: init }), new nn.ReLU(), new nn.Linear(24, 6, { rng: init }))
  const trainer = new Trainer(model, { loss: loss.crossEntropy, ...options })
  histories.push(await trainer.fit(data, { epochs: 40, seed: 1, validation, metrics: ['accuracy', 'confusionMatrix'], health: true }))
}
const path = join(folder, 'report.html')
// Small images: a bright column, whose place is the class.
const images = { x: rng.uniform([60, 1, 6, 6]), y: Int32Array.from({ length: 60 }, (_, i) => i % 6) }
for (let i = 0; i < 60; i++) for (let row = 0; row < 6; row++) images.x.data[36 * i + 6 * row + (i % 6)] = 1.5
const network = new nn.Sequential(new nn.Conv2d(1, 8, 3, { rng }), new nn.ReLU(), new nn.Flatten(), new nn.Linear(128, 6, { rng }))
await new MBSGD(network, { loss: loss.crossEntropy, learningRate: 0.02, batchSize: 10 }).fit(images, { epochs: 3, seed: 1 })
model = network
await report(histories, { path, model, images, title: 'Three trainers', classes: ['ash', 'birch', 'cedar', 'elm', 'fir', 'oak'] })

const flags = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--hide-scrollbars',
  '--window-size=1280,2600',
  '--enable-logging=stderr',
  '--virtual-time-budget=2000',
]
const problems = []

function open(extra) {
  const { stdout, stderr } = spawnSync(browser, [...flags, ...extra, pathToFileURL(path).href], { encoding: 'utf8', timeout: 60_000 })
  for (const line of stderr.split('\n')) if (/CONSOLE/.test(line)) problems.push(line)
  return stdout
}

const dom = open(['--dump-dom'])
const figures = dom.split('<figure>').length - 1
if (figures !== 3 + 6 + 3 + 3 + 1) problems.push(`16 figures expected, ${figures} found`)
if (!/<image href="data:image\/bmp;base64/.test(dom)) problems.push('no images on the page')
for (const [name, extra] of [
  ['light', []],
  ['dark', ['--blink-settings=preferredColorScheme=0', '--force-dark-mode']],
]) {
  const picture = join(folder, `report-${name}.png`)
  open([...extra, `--screenshot=${picture}`])
  if (!existsSync(picture) || statSync(picture).size < 20_000) problems.push(`no picture of the ${name} page`)
  else console.log(picture)
}
for (const problem of problems) console.error(problem)
console.log(problems.length === 0 ? 'the report is as it should be' : `${problems.length} problems`)
process.exit(problems.length > 0 ? 1 : 0)
