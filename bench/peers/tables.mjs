/**
 * `wengert train` beside scikit-learn: a ColumnTransformer with MLPClassifier or MLPRegressor, and HistGradientBoosting, on the
 * same rows and the same held-out rows. `node bench/peers/tables.mjs [--rows 50000]` after `npm run build`.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { csvLines, customers } from '../../dist/examples/churn-data.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tables-'))
const flag = process.argv.indexOf('--rows')
const count = flag > 0 ? Number(process.argv[flag + 1]) : 50_000

/** The lines of a CSV in five folds: pairs of files. */
function foldsOf(name, text, folds) {
  const [head, ...lines] = text.trimEnd().split('\n')
  return Array.from({ length: folds }, (_, f) => {
    // A fixed shuffle by a hash of the line's number.
    const test = (i) =>
      ((Math.imul(i + 1, 2654435761) >>> 0) / 2 ** 32) * 5 >= f && ((Math.imul(i + 1, 2654435761) >>> 0) / 2 ** 32) * 5 < f + 1
    const files = { train: join(folder, `${name}-${f}.csv`), test: join(folder, `${name}-${f}-test.csv`) }
    writeFileSync(files.train, `${[head, ...lines.filter((_line, i) => !test(i))].join('\n')}\n`)
    writeFileSync(files.test, `${[head, ...lines.filter((_line, i) => test(i))].join('\n')}\n`)
    return files
  })
}

function wengert(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'dist/lib/cli/main.js'), ...args], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

const data = (name) => readFileSync(join(root, 'examples', 'data', `${name}.csv`), 'utf8')
const sets = [
  ['churn', 'churned', [...csvLines(customers(count, { leak: false }))].join(''), 1],
  ['iris', 'species', data('iris'), 5],
  ['digits', 'digit', data('digits'), 1],
  ['diabetes', 'progression', data('diabetes'), 5],
]
const mean = (list, name) => list.reduce((sum, scores) => sum + (scores[name] ?? Number.NaN), 0) / list.length

for (const [name, target, text, folds] of sets) {
  const found = { wengert: [], mlp: [], boosting: [] }
  for (const { train, test } of foldsOf(name, text, folds)) {
    const start = performance.now()
    wengert('train', train, '--target', target, '--out', 'm.wengert', '--report', 'none', '--json', '--test', '0.01')
    const seconds = (performance.now() - start) / 1000
    found.wengert.push({ ...wengert('evaluate', 'm.wengert', test, '--json'), seconds })
    const peer = spawnSync('/usr/bin/python3', [join(root, 'bench/peers/tables.py'), train, test, target], { encoding: 'utf8' })
    if (peer.status !== 0) throw new Error(peer.stderr)
    const scores = JSON.parse(peer.stdout.trimEnd().split('\n').pop())
    found.mlp.push(scores.mlp)
    found.boosting.push(scores.boosting)
  }
  const names = name === 'diabetes' ? ['rmse', 'r2', 'seconds'] : ['rocAuc', 'logLoss', 'accuracy', 'seconds']
  for (const [peer, list] of Object.entries(found))
    console.log(name.padEnd(9), peer.padEnd(9), names.map((n) => `${n} ${Number(mean(list, n).toPrecision(4))}`).join('  '))
}
rmSync(folder, { recursive: true })
