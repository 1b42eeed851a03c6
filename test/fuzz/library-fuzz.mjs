/**
 * The library under random use: small files with large meaning, shared modules, long strings, tables of mixed types and line
 * ends, models of mixed element types on both engines, and allocations of JavaScript's that fail at random. Whatever happens is a
 * result or an error with a code, in bounded time; a training that fails leaves its model as it was.
 *
 *   node test/fuzz/library-fuzz.mjs [--rounds 300] [--seed 1]
 *
 * Prints what it did as one line of JSON; on a failure the round's seed, which repeats it alone with --rounds 1.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '300' }, seed: { type: 'string', default: '1' } } })

/** Allocations of a kilobyte and more fail with this chance while it is set. */
let failing = 0
let random = () => 0
for (const name of ['Float32Array', 'Float64Array', 'Int32Array', 'Uint8Array', 'ArrayBuffer', 'SharedArrayBuffer']) {
  const Type = globalThis[name]
  globalThis[name] = new Proxy(Type, {
    construct(target, args, type) {
      const [length] = args
      if (failing > 0 && typeof length === 'number' && length * (target.BYTES_PER_ELEMENT ?? 1) >= 1024 && random() < failing)
        throw new RangeError('Array buffer allocation failed')
      return Reflect.construct(target, args, type === globalThis[name] ? target : type)
    },
  })
}

const library = await import('../../dist/lib/index.js')
const { decodeModel } = await import('../../dist/lib/io/model.js')
const {
  backend,
  encodeSafetensors,
  errorCodes,
  loadModel,
  loss,
  MBSGD,
  nn,
  optim,
  Random,
  readCsv,
  saveModel,
  setBackend,
  standardize,
  tensor,
} = { errorCodes: (await import('../../dist/lib/errors.js')).errorCodes, ...library }

// Chosen before anything fails.
backend()
const folder = mkdtempSync(join(tmpdir(), 'wengert-fuzz-'))
const count = { rounds: 0, done: 0, refused: {} }
/** No single call may take longer: what is refused is refused at once, what is small is done soon. */
const longest = 20_000

function seeded(seed) {
  let state = (seed * 2654435761) >>> 0 || 1
  return () => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state / 4294967296
  }
}
const below = (n) => Math.floor(random() * n)
const of = (list) => list[below(list.length)]
const many = (n, make) => Array.from({ length: n }, (_, i) => make(i))

const names = ['constructor', 'map', '__proto__', 'length', 'toString', 'hasOwnProperty', '', '\u0000', '\ud800', 'weight', '0', 'é']
const long = () => of(['1', 'x', ' ', '"', '9.', '\\', '[', 'a,']).repeat(of([1, 10, 1000, 60_000])) + of(['', 'x', '.', 'e'])
const number = () => of([0, 1, 2, 3, 4, -1, 0.5, 7, 1e9, 2 ** 31, 2 ** 53, 1e15, 1e300])
const junk = (depth = 0) =>
  of([
    null,
    true,
    number(),
    of(names),
    long(),
    ...(depth > 3 ? [] : [many(below(4), () => junk(depth + 1)), Object.fromEntries(many(below(3), () => [of(names), junk(depth + 1)]))]),
  ])
/** A value that is mostly as it should be. */
const mostly = (value) => (below(12) === 0 ? junk() : value)

/** A list of saved modules in which later ones use earlier ones, some of them again and again. */
function modules() {
  const list = many(1 + below(3), () => of([{ type: 'ReLU', config: {} }, { type: 'Tanh', config: {} }, linear()]))
  for (let n = below(of([3, 30])); n > 0; n--) {
    const use = () => ({ $module: mostly(of([list.length - 1, below(list.length)])) })
    const layers = many(1 + below(3), use)
    list.push(
      of([
        { type: 'Sequential', config: { layers } },
        { type: 'Parallel', config: { branches: layers } },
        { type: 'Residual', config: { inner: use() } },
        linear(),
      ]),
    )
  }
  return list.map((entry) => mostly(entry))
}
const linear = () => ({
  type: 'Linear',
  config: { inFeatures: mostly(2), outFeatures: mostly(2), bias: mostly(false), dtype: mostly(of(['float32', 'float64'])) },
})
const transforms = () =>
  many(below(3), () =>
    of([
      { kind: 'oneHot', shape: mostly([of([2, 1e9])]), columns: mostly([0]), values: mostly([[1, 2]]), unknown: mostly('zeros') },
      { kind: 'standardize', shape: mostly([2]), shift: mostly([0, 0]), scale: mostly([1, 1]), offset: mostly([0, 0]) },
      { kind: 'records', fields: mostly([{ name: of(names), kind: 'category', categories: mostly(['u', long()]) }]) },
      junk(),
    ]),
  )

/** What must hold of each call: a result, or an error with a code and a bounded message, in time. */
async function tried(what, run) {
  const start = performance.now()
  let result
  try {
    result = await run()
    count.done++
  } catch (error) {
    const code = error?.code
    if (!(code in errorCodes)) throw new Error(`${what}: without a code: ${error?.stack ?? error}`)
    if (error.message.length > 3000) throw new Error(`${what}: a message of ${error.message.length} characters`)
    count.refused[code] = (count.refused[code] ?? 0) + 1
  }
  const took = performance.now() - start
  if (took > longest) throw new Error(`${what}: took ${took.toFixed(0)} ms`)
  return result
}

async function file() {
  const list = modules()
  const json = {
    modules: mostly(list),
    frozen: mostly([]),
    transforms: mostly(transforms()),
    ...(below(3) === 0 && { classes: mostly(['a', long()]) }),
  }
  const bytes = encodeSafetensors({}, { format: 'wengert', version: '1', model: JSON.stringify(json) })
  const model = await tried('a model file', () => decodeModel(bytes))
  if (!model) return
  const x = tensor([[0.5, -1]])
  const y = await tried('its prediction', () => model.predict(x))
  const text = model.summary()
  const path = join(folder, 'again.model')
  await saveModel(model, path, { transforms: model.transforms, ...(model.classes && { classes: model.classes }) })
  const again = await loadModel(path)
  if (again.summary() !== text) throw new Error('a model file: another model came back')
  if (y && String(again.predict(x).data) !== String(y.data)) throw new Error('a model file: another prediction came back')
}

async function table() {
  const end = () => of(['\n', '\r\n', '\r'])
  const delimiter = of([',', ';', '\t'])
  const cell = () =>
    of(['1', '2.5', '1,5', '-3e2', 'u', 'v', '', 'NA', '1e999', '0x10', '"a b"', '"x""y"', `"${end()}"`, long(), String(number())])
  const width = 1 + below(5)
  const [first, last] = [end(), below(2)]
  const lines = many(below(30), () => many(width + (below(40) === 0 ? 1 : 0), cell).join(delimiter) + (last ? first : end()))
  const text = `${many(width, (i) => (below(10) === 0 ? of(names) : `c${i}`)).join(delimiter)}${first}${lines.join('')}`
  const options = {
    target: mostly('c0'),
    delimiter,
    ...(below(3) === 0 && { decimal: of(['.', ',']) }),
    ...(below(2) === 0 && { missing: of(['drop', 'mean', 'refuse']) }),
    ...(below(3) === 0 && { types: { c0: of(['number', 'category', 'ignore']), [of(names)]: 'number' } }),
  }
  const data = await tried('a table', () => readCsv(Readable.from([text]), options))
  if (!data) return
  for (let n = 0; n < 5; n++) await tried('a record', () => data.encoder(junk()))
  await tried('a record', () =>
    data.encoder(Object.fromEntries(data.encoder.toJSON().fields.map(({ name }) => [name, mostly(of([1, '1', 'u']))]))),
  )
}

/** A forward function that goes from one element type to another and back. */
class Mixed extends nn.Module {
  constructor(steps, dtype) {
    super()
    this.steps = steps
    this.weight = new nn.Parameter(new Random(3).normal([3, 3], { dtype }))
  }
  forward(x) {
    let y = x
    for (const step of this.steps) {
      if (step === 'product') y = y.cast(this.weight.dtype).matmul(this.weight)
      else if (step === 'sum') y = y.add(y.cast('float64').sum([1], { keepDims: true }).cast(y.dtype))
      else if (step === 'tanh') y = y.cast(of32(y.dtype)).tanh()
      else if (step === 'small') y = y.mul(0.5).add(1)
      else y = y.cast(step)
    }
    return y.cast('float64')
  }
}
const of32 = (dtype) => (dtype === 'float64' ? 'float64' : 'float32')

async function mixed() {
  const dtype = of(['float32', 'float64'])
  const steps = many(1 + below(8), () => of(['float32', 'float64', 'int32', 'product', 'sum', 'tanh', 'small', 'product']))
  const model = new Mixed(steps, dtype)
  const x = new Random(1 + below(1000)).normal([1 + below(5), 3], { dtype })
  // Integers cut what rounding made different: a bit on one side of a whole number is another number.
  const exact = steps.includes('int32') ? 1.5 : 1e-4
  const [first] = backend().name === 'native' ? ['native'] : ['js']
  const outputs = [first, 'js'].map((name) => {
    setBackend(name)
    return model.predict(x)
  })
  outputs.push(model.forward(x))
  setBackend(first)
  const [reference] = outputs
  const most = reference.data.reduce((n, v) => Math.max(n, Math.abs(v)), 1)
  for (const { shape, data } of outputs)
    if (String(shape) !== String(reference.shape) || (exact < 1 && data.some((v, i) => !(Math.abs(v - reference.data[i]) <= exact * most))))
      throw new Error(`mixed types: ${steps} in ${dtype}: ${data} for ${reference.data}`)
  count.done++
}

const states = (model) => JSON.stringify(Object.values(model.stateDict()).map(({ data }) => Array.from(data)))

async function memory() {
  const seed = below(1000)
  const make = () => {
    const rng = new Random(seed)
    const model = new nn.Sequential(new nn.Linear(8, 64, { rng }), new nn.ReLU(), new nn.Linear(64, 1, { rng }))
    return new MBSGD(model, { loss: loss.mse, batchSize: 16, optimizer: optim.adam({ learningRate: 0.01 }) })
  }
  const data = { x: new Random(seed + 1).normal([100, 8]), y: new Random(seed + 2).normal([100, 1]) }
  const [trainer, control] = [make(), make()]
  const before = states(trainer.model)
  failing = of([0.02, 0.1, 0.5])
  const path = join(folder, 'memory.model')
  await tried('a fit without memory', () => trainer.fit(data, { epochs: 2, seed: 1, metrics: ['mae'], validation: data }))
  const { updates, epoch } = trainer
  await tried('a prediction without memory', () => trainer.model.predict(data.x))
  await tried('async without memory', () => trainer.model.predictAsync(data.x))
  await tried('saving without memory', () => saveModel(trainer.model, path, { transforms: [standardize(data)] }))
  await tried('a checkpoint without memory', () => trainer.save(`${path}.ckpt`))
  await tried('a table without memory', () => readCsv(Readable.from([`a,y\n${'1,2\n'.repeat(500)}`]), { target: 'y' }))
  await tried('loading without memory', () => loadModel(path))
  failing = 0
  if (updates === 0 && states(trainer.model) !== before) throw new Error('memory: no update was made, and the model is another')
  if (updates !== 7 * epoch) throw new Error(`memory: ${epoch} epochs and ${updates} updates`)
  // What is left is trained as if nothing had failed.
  await trainer.fit(data, { epochs: 4 - epoch, seed: 1 })
  await control.fit(data, { epochs: 4, seed: 1 })
  if (states(trainer.model) !== states(control.model)) throw new Error('memory: the training went another way')
}

const kinds = { file, table, mixed, memory }
const first = Number(values.seed)
for (; count.rounds < Number(values.rounds); count.rounds++) {
  const seed = first + count.rounds
  random = seeded(seed)
  for (let i = 0; i < 8; i++) random()
  const kind = of(Object.keys(kinds))
  try {
    await kinds[kind]()
  } catch (error) {
    failing = 0
    console.log(JSON.stringify({ ...count, kind, seed, failed: String(error?.stack ?? error).slice(0, 2000) }))
    process.exitCode = 1
    break
  }
}
rmSync(folder, { recursive: true })
if (!process.exitCode) console.log(JSON.stringify(count))
