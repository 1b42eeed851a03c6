/**
 * A training that may be killed at any moment: `node child.mjs FILE [STAGE COUNT]`. It goes on from FILE where there is one, and
 * at the end writes its whole state to FILE.final. With a stage it kills itself (SIGKILL, nothing is flushed or closed) within
 * the COUNT-th write of a checkpoint: when the bytes are written and not flushed, when they are flushed and the file is not
 * renamed, or right after the rename.
 */

import { existsSync } from 'node:fs'
import files from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const [path, stage, count] = process.argv.slice(2)

/** Dies at the stage: the file system is asked through functions that know where a write stands. */
function arm() {
  let writes = 0
  const die = (at) => {
    if (at === stage && writes >= Number(count)) process.kill(process.pid, 'SIGKILL')
  }
  const { open, rename } = files
  files.open = async (name, flags, ...rest) => {
    const file = await open(name, flags, ...rest)
    if (flags !== 'wx') return file
    writes++
    const sync = file.sync.bind(file)
    file.sync = () => {
      die('written')
      return sync()
    }
    return file
  }
  files.rename = async (from, to) => {
    if (!String(from).endsWith('.tmp')) return rename(from, to)
    die('flushed')
    await rename(from, to)
    die('renamed')
  }
  syncBuiltinESMExports()
}

if (stage) arm()
const { loss, MBSGD, nn, optim, Random } = await import('../../dist/lib/index.js')

const rng = new Random(7)
const x = rng.normal([53, 6])
const label = (i) => (x.data[6 * i] > 0 ? 1 : 0) + (x.data[6 * i + 1] > 0 ? 1 : 0)
const data = { x, y: Int32Array.from({ length: 53 }, (_, i) => label(i)) }
const validation = { x: rng.normal([20, 6]), y: Int32Array.from({ length: 20 }, (_, i) => i % 3) }
const init = new Random(3)
const model = new nn.Sequential(
  new nn.Linear(6, 9, { rng: init }),
  new nn.BatchNorm1d(9),
  new nn.ReLU(),
  new nn.Dropout(0.3),
  new nn.Linear(9, 3, { rng: init }),
)
const trainer = new MBSGD(model, {
  loss: loss.crossEntropy,
  batchSize: 8,
  optimizer: optim.adam({ learningRate: 0.01 }),
  schedule: optim.schedules.plateau({ patience: 1, factor: 0.5, threshold: 0.05, minimum: 1e-4 }),
})

const epochs = 60
if (existsSync(path)) await trainer.resume(path)
console.log(`training from ${trainer.updates}`)
const checkpoint = { path, everyUpdates: 5, keep: 2, best: true }
await trainer.fit(data, { epochs: epochs - trainer.epoch, validation, checkpoint, ...(trainer.updates === 0 && { seed: 11 }) })
await trainer.save(`${path}.final`)
console.log('done')
