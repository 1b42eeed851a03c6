/** The TypeScript program that does what `train` did: its choices as constants, the library's functions, nothing else. */

import type { ColumnSpec, FittedTable, ReadTableOptions } from '../index.js'
import type { Choices } from './choices.js'

/** What a program is written of. */
export interface Ejection {
  readonly path: string
  /** How it was read. */
  readonly read: ReadTableOptions
  readonly target: readonly string[]
  readonly table: FittedTable
  readonly choices: Choices
  readonly out: string
}

const text = (value: unknown): string => JSON.stringify(value)

/** A value as a literal with single quotes where it is a text. */
const literal = (value: unknown): string =>
  typeof value === 'string' ? `'${text(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'` : text(value)

const property = (name: string): string => (name === '__proto__' ? "['__proto__']" : /^[A-Za-z_$][\w$]*$/.test(name) ? name : literal(name))

/** Options that say something, as a literal; '' where none does. */
function optionsText(options: object): string {
  const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== false)
  return given.length === 0 ? '' : `{ ${given.map(([name, value]) => `${name}: ${literal(value)}`).join(', ')} }`
}

const specText = ({ kind, ...options }: ColumnSpec): string => `${kind}(${optionsText(options)})`

/** The program. */
export function ejected({ path, read, target, table, choices, out }: Ejection): string {
  const { recipe, split, aim, threshold } = choices
  const specs = table.columns.flatMap(({ name, spec, says }) =>
    spec ? [{ name, code: specText(spec), kind: spec.kind, format: spec.format, reason: spec.reason, says }] : [],
  )
  const binary = aim !== undefined
  // In one column of labels, none is an answer.
  const complete = !(table.task === 'labels' && target.length === 1)
  const weighed = recipe.weigh > 0
  const calibrated = table.task !== 'numbers' && choices.calibrate
  const reading = optionsText(read)
  // How the dates to split by are written is said, so that other rows are read alike.
  const format = specs.find(({ name }) => name === split.by)?.format
  const how = Object.entries({ ...split, ...(format !== undefined && { format }) })
    .filter(([name]) => name !== 'parts')
    .map(([name, value]) => `${name}: ${literal(value)}`)
  const names = [
    ...new Set([
      ...specs.map(({ kind }) => kind),
      ...(calibrated ? ['calibrate'] : []),
      ...(binary ? ['chooseThreshold', 'TablePredictor'] : []),
      ...(weighed ? ['classWeights', 'loss', 'tensor'] : []),
      ...['earlyStopping', 'fitTable', 'MBSGD', 'nn', 'optim', 'Random', 'readTable', 'saveModel', 'scoreTable', 'split'],
    ]),
  ].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
  const layers = ['table.input({ rng })']
  let width = 'table.width'
  for (const size of recipe.hidden) {
    layers.push(
      `new nn.Linear(${width}, ${size}, { rng })`,
      'new nn.ReLU()',
      ...(recipe.dropout > 0 ? [`new nn.Dropout(${recipe.dropout})`] : []),
    )
    width = String(size)
  }
  const options = [...(calibrated ? ['temperature'] : []), ...(binary || threshold !== undefined ? ['threshold'] : [])].join(', ')
  return `/**
 * What \`wengert train\` did, as a program: change what you like. It is an ES module (\`"type": "module"\` in package.json, or named .mts):
 * Node 22.18 and later and \`npx tsx\` run it as it is, \`tsc\` compiles it.
 */

import { ${names.join(', ')} } from 'wengert'

const source: string = process.argv[2] ?? ${literal(path === '-' ? 'rows.csv' : path)}
const rows = ${complete ? '(' : ''}await readTable(source${reading === '' ? '' : `, ${reading}`})${complete ? `).complete(${target.map(literal).join(', ')})` : ''}
const [train, validation, test] = split(rows, { parts: ${text(split.parts).replaceAll(',', ', ')}, ${how.join(', ')} })

const table = fitTable(train, {
  target: ${target.length === 1 ? literal(target[0]) : `[${target.map(literal).join(', ')}]`},
  columns: {
${specs.map(({ name, code, says, reason }) => `    ${property(name)}: ${code},${says === reason ? '' : ` // ${says.replaceAll(/[\r\n\u2028\u2029]/g, ' ')}`}`).join('\n')}
  },
})

const rng = new Random(${recipe.seed})
const layers = [${layers.join(', ')}]
const last = new nn.Linear(${width}, table.outputs, { rng })
const model = new nn.Sequential(...layers, last)
const set = table(train)
${weighed ? `const weights = classWeights(set.y.data, table.outputs, { power: ${recipe.weigh} })\n` : ''}const trainer = new MBSGD(model, {
  loss: ${weighed ? 'loss.crossEntropy.with({ weight: weights })' : 'table.loss'},
  optimizer: optim.adamW({ learningRate: ${recipe.rate}, weightDecay: 0.01 }),
  batchSize: Math.min(${recipe.batchSize}, set.length),
})
const history = await trainer.fit(set, {
  epochs: ${recipe.epochs},
  validation: table(validation),
  callbacks: [earlyStopping({ patience: ${recipe.patience} })],
  seed: ${recipe.seed},
})
${weighed ? '// What the weights moved comes back: probabilities are those of the classes as they occur.\nlast.bias?.assign(last.bias.sub(tensor(weights).log()))\n' : ''}${calibrated ? '\nconst temperature = calibrate(model, table, validation)\n' : ''}${
  threshold !== undefined
    ? `const threshold = ${threshold}\n`
    : binary
      ? `const probabilities = new TablePredictor(model, table${calibrated ? ', { temperature }' : ''}).values(validation).filter((_, i) => i % 2 === 1)
const threshold = chooseThreshold(probabilities, table(validation).y.data, { for: ${typeof aim === 'object' ? text(aim) : literal(aim)} })
`
      : ''
}
console.log(\`\${history.epochs.length} epochs\`, await scoreTable(model, table, test${options === '' ? '' : `, { ${options} }`}))
await saveModel(model, ${literal(out)}, { table${options === '' ? '' : `, ${options}`} })
`
}
