/**
 * `npm start`: trains a network on handwritten digits with full-batch, stochastic and mini-batch gradient descent from the
 * same start, and shows them side by side. `npm start -- --help` lists the options.
 */

import { parseArgs } from 'node:util'
import { backend, progress, report } from 'wengert'
import { epochs, layers, loadDigits, type Outcome, train, trainerNames } from './digits-task.js'
import { percent, table } from './output.js'

const help = `Trains a network of ${layers.join('-')} on 1,797 handwritten digits, a fifth of them held out.

  npm start                three trainers from the same start, side by side
  npm start -- --seeds     mini-batch gradient descent on ten splits, starts and orders
  npm start -- --report digits.html
                           the comparison as a page as well: curves, gradient norms, confusion matrix
  npm start -- --json      no progress, and one line of JSON at the end
  npm start -- --help      this text

WENGERT_BACKEND=js chooses the JavaScript engine, WENGERT_THREADS the number of threads.
`

/** Of the split, the start and the order of the samples. */
const seed = 1
const seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

const network = layers.join('→')

function engineName(): string {
  const { name, blas, threads } = backend()
  return [name, ...(blas ? [blas] : []), `${threads} ${threads === 1 ? 'thread' : 'threads'}`].join('·')
}

/** A curve in blocks, high for high costs, on a logarithmic scale from `low` to `high`. */
function sparkline(curve: readonly number[], low: number, high: number, width = 20): string {
  const blocks = '▁▂▃▄▅▆▇█'
  return Array.from({ length: Math.min(width, curve.length) }, (_, i) => {
    const cost = curve[Math.floor((i * (curve.length - 1)) / Math.max(1, width - 1))] as number
    const height = high > low ? Math.log(cost / low) / Math.log(high / low) : 0
    return blocks[Math.min(7, Math.floor(8 * height))]
  }).join('')
}

/** The three trainers: Figure 3.19. */
async function compare(json: boolean, page: string | undefined): Promise<void> {
  const data = await loadDigits(seed)
  const outcomes: Outcome[] = []
  for (const name of trainerNames) {
    const line = json || process.env.CI ? undefined : progress({ epochs, title: `${name.padEnd(5)}  ${network}  ${engineName()}` })
    outcomes.push(await train(name, data, seed, line, page !== undefined))
  }
  if (page !== undefined) {
    const { model } = outcomes[outcomes.length - 1] as Outcome
    await report(
      outcomes.map(({ history }) => history),
      { path: page, model, title: `${network} on handwritten digits` },
    )
  }
  const { name: engine, blas = null, threads, reason } = backend()
  if (json) {
    const trainers = outcomes.map(({ curve: _, history: _history, model: _model, ...outcome }) => outcome)
    console.log(JSON.stringify({ engine, blas, threads, trainers }))
    return
  }
  const costs = outcomes.flatMap(({ curve }) => curve)
  const head = ['', 'updates', 'epochs', 'cost', 'train accuracy', 'test accuracy', 'seconds', 'cost by epoch (log)']
  const rows = outcomes.map((o) => [
    o.name,
    String(o.updates),
    String(o.epochs),
    o.cost.toFixed(5),
    percent(o.trainAccuracy),
    percent(o.testAccuracy),
    o.seconds.toFixed(3),
    sparkline(o.curve, Math.min(...costs), Math.max(...costs)),
  ])
  console.log(
    `\n${table([head, ...rows], [head.length - 1])}\n\nengine: ${engineName()}${reason ? `\n  ${reason.replaceAll('\n', '\n  ')}` : ''}`,
  )
  if (page !== undefined) console.log(`report: ${page}`)
}

/** MBSGD over the listed seeds, to show that one good result is no accident. */
async function overSeeds(json: boolean): Promise<void> {
  const results: { seed: number; testAccuracy: number }[] = []
  for (const s of seeds) {
    const { testAccuracy } = await train('MBSGD', await loadDigits(s), s)
    results.push({ seed: s, testAccuracy })
    if (!json) console.log(`seed ${String(s).padStart(2)}   test accuracy ${percent(testAccuracy)}`)
  }
  const accuracies = results.map(({ testAccuracy }) => testAccuracy)
  const mean = accuracies.reduce((sum, accuracy) => sum + accuracy, 0) / accuracies.length
  const least = Math.min(...accuracies)
  if (json) console.log(JSON.stringify({ engine: backend().name, seeds: results, mean, least }))
  else console.log(`mean      test accuracy ${percent(mean)}, at least ${percent(least)}`)
}

function options() {
  try {
    const flag = { type: 'boolean', default: false } as const
    return parseArgs({ options: { json: flag, seeds: flag, help: flag, report: { type: 'string' } } }).values
  } catch (error) {
    console.error(`digits: ${(error as Error).message.split('. ')[0]}. What there is: npm start -- --help`)
    process.exit(2)
  }
}

const { json, seeds: many, help: asked, report: page } = options()
if (many && page !== undefined) {
  console.error('digits: --report is of the three trainers and goes without --seeds. What there is: npm start -- --help')
  process.exit(2)
}
if (asked) process.stdout.write(help)
else if (many) await overSeeds(json === true)
else await compare(json === true, page)
