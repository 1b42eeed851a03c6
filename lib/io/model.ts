/**
 * A model in one file: a safetensors file whose tensors are the weights and whose metadata hold the rest as JSON: the
 * modules, which parameters are frozen, the fitted transforms, the names of the classes.
 */

import type { Encoder } from '../data/dataset.js'
import { recordEncoderFromJSON } from '../data/records.js'
import type { Transform } from '../data/transform-rule.js'
import { transformFromJSON } from '../data/transforms.js'
import { WengertError } from '../errors.js'
import type { OutputKind } from '../nn/loss-contract.js'
import { boundaryOf, outputKinds } from '../nn/loss-outputs.js'
import { type FieldForm, type Meaning, meaningOf } from '../nn/meaning.js'
import { Module } from '../nn/module.js'
import { modulesFromJSON, modulesToJSON } from '../nn/registry.js'
import { argmax } from '../primitives/reduce.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { type Dtype, dtypes, withAllocationLimit } from '../util/dtype.js'
import { checkChoice, checkOptions, describe } from '../util/options.js'
import { isPlainObject } from '../util/tree.js'
import { checkPath } from './atomic.js'
import { parseJSON } from './json.js'
import { type SaveTableOptions, savedTable, type TableParts, tablePartsOf } from './model-table.js'
import { naming, readBytes } from './read-file.js'
import { decodeSafetensors, encodeSafetensors, writeSafetensors } from './safetensors.js'

/** What is saved beside the model. */
export interface SaveModelOptions extends SaveTableOptions {
  /** In the order in which they are applied: a table's `data.encoder` where there is one, then fitted transforms. */
  transforms?: readonly (Transform | Encoder)[] | undefined
  /** Names of the classes, in the order of the model's outputs. */
  classes?: readonly string[] | undefined
  /** What the outputs are, where they are not those of the loss that the model was trained with. */
  outputs?: OutputKind | undefined
}

/** What a loaded model has besides a module's: all that stands between raw features and a named class. */
export interface ModelParts extends TableParts {
  readonly transforms: readonly (Transform | Encoder)[]
  readonly classes: readonly string[] | undefined
  /** What the outputs are: as the loss took them that the model was trained with; undefined where nothing says so. */
  readonly outputs: OutputKind | undefined
  /** Raw features (records, where the first transform is an encoder) through the transforms; `predict` takes the result. */
  preprocess(x: TensorLike | object): Tensor
  /**
   * The name of the class of the largest output for each row of a prediction. One output means the second of two classes where
   * its probability is above ½: a logit or a score above 0.
   *
   * @throws ERR_STATE without classes, or for one output of a model of which nothing says what it means
   */
  classesOf(prediction: Tensor): string[]
}

/** A model as `loadModel` gives it: the module, with what was saved beside it. */
export type LoadedModel = Module & ModelParts

const partNames: readonly (keyof ModelParts)[] = [
  'transforms',
  'classes',
  'outputs',
  'preprocess',
  'classesOf',
  'table',
  'threshold',
  'temperature',
  'metadata',
  'predictRecords',
]

const format = 'wengert'
const version = '1'

/** A transform, or the encoder of records that may come before them. Errors: ERR_VALUE. */
function partFromJSON(json: unknown): Transform | Encoder {
  return isPlainObject(json) && json.kind === 'records' ? recordEncoderFromJSON(json) : transformFromJSON(json)
}

function checkClasses(code: 'ERR_OPTION' | 'ERR_FILE', where: string, classes: unknown): readonly string[] {
  if (!Array.isArray(classes) || classes.length === 0 || !classes.every((name) => typeof name === 'string'))
    throw new WengertError(code, `${where}: expected classes to be a list of names, got ${describe(classes)}`, { actual: classes })
  return classes
}

/** All of the model but its weights, as the metadata of their file. */
function metadataOf(where: string, model: Module, options: SaveModelOptions): Record<string, string> {
  checkOptions(where, options, ['transforms', 'classes', 'outputs', 'table', 'threshold', 'temperature', 'metadata'])
  if (!(model instanceof Module))
    throw new WengertError('ERR_VALUE', `${where}: expected a Module, got ${describe(model)}`, { actual: model })
  // A loaded model has these, not enumerable: a field of the same name would be lost.
  const taken = partNames.find((name) => Object.prototype.propertyIsEnumerable.call(model, name))
  if (taken !== undefined)
    throw new WengertError(
      'ERR_STATE',
      `${where}: ${model.describe()} has a field '${taken}', which loadModel adds to a model: rename the field`,
      {
        actual: taken,
      },
    )
  const transforms = options.transforms ?? []
  if (!Array.isArray(transforms) || !transforms.every((t) => typeof t === 'function' && typeof t.toJSON === 'function'))
    throw new WengertError('ERR_OPTION', `${where}: expected transforms to be a list of fitted transforms, got ${describe(transforms)}`, {
      actual: transforms,
    })
  if (options.classes !== undefined) checkClasses('ERR_OPTION', where, options.classes)
  if (options.outputs !== undefined) checkChoice(where, 'outputs', options.outputs, outputKinds)
  const { sample, fields } = meaningOf(model)
  const outputs = options.outputs ?? meaningOf(model).outputs
  const json = {
    modules: modulesToJSON(model),
    frozen: model.namedParameters().flatMap(([name, parameter]) => (parameter.frozen ? [name] : [])),
    transforms: transforms.map((transform) => {
      const saved: unknown = JSON.parse(JSON.stringify(transform))
      // What cannot be read back is refused now, not in the process that serves.
      partFromJSON(saved)
      return saved
    }),
    ...(options.classes && { classes: options.classes }),
    ...(outputs && { outputs }),
    ...(sample !== undefined && { sample }),
    ...(fields && { inputs: fields }),
    ...savedTable(model, options, options.outputs),
  }
  const text = JSON.stringify(json)
  // As deep as a reader goes, or not written at all.
  parseJSON(where, text)
  return { format, version, model: text }
}

/**
 * Saves architecture, weights, fitted transforms and class names as one file, whole or not at all: a process that serves
 * needs nothing else. Weights are those at the call (during a fit: of a finished epoch).
 *
 * @param options.transforms the fitted transforms of the features, in order
 * @param options.classes the names of the classes, `data.classes`
 * @param options.table the fitted table, with `threshold` and `temperature`: the loaded model answers to raw records
 * @param options.metadata what you want to know of it later
 * @throws (rejects) ERR_STATE for a class of modules without a name (`nn.registerModule`), or a field that loadModel would hide; ERR_OPTION; ERR_FILE
 * @example await saveModel(model, 'digits.model', { transforms: [scale], classes: train.classes })
 */
export async function saveModel(model: Module, path: string, options: SaveModelOptions = {}): Promise<void> {
  checkPath('saveModel', path)
  const metadata = metadataOf('saveModel', model, options)
  await writeSafetensors(path, model.stateDict(), { metadata })
}

/**
 * The bytes that `saveModel` would write: to send, or to keep where there are no files. Its options.
 *
 * @throws ERR_STATE for a class of modules without a name (`nn.registerModule`); ERR_OPTION
 * @example const bytes = encodeModel(model, { classes: train.classes })
 */
export function encodeModel(model: Module, options: SaveModelOptions = {}): Uint8Array {
  const metadata = metadataOf('encodeModel', model, options)
  return encodeSafetensors(model.stateDict(), metadata)
}

/**
 * The model in the bytes of a file that `saveModel` wrote, or of `encodeModel`.
 *
 * @throws ERR_FILE for bytes that are truncated, corrupt, or not a model
 * @example const model = decodeModel(new Uint8Array(await response.arrayBuffer()))
 */
export function decodeModel(bytes: Uint8Array): LoadedModel {
  const { tensors, metadata } = decodeSafetensors(bytes)
  if (metadata.format !== format || metadata.version !== version || metadata.model === undefined) {
    const got = metadata.format === format ? `version ${describe(metadata.version)}, or parameters alone (loadParameters)` : 'another'
    throw new WengertError('ERR_FILE', `loadModel: expected a file that saveModel wrote, version ${version}, got ${got}`, {
      expected: version,
      actual: metadata.version,
    })
  }
  const json = parseJSON('loadModel', metadata.model)
  if (!isPlainObject(json)) throw new WengertError('ERR_FILE', `loadModel: expected a model, got ${describe(json)}`, { actual: json })
  const { modules, frozen, transforms, classes, outputs, sample, inputs } = json
  if (!Array.isArray(frozen) || !Array.isArray(transforms))
    throw new WengertError(
      'ERR_FILE',
      `loadModel: expected lists of frozen parameters and transforms, got ${describe(frozen)} and ${describe(transforms)}`,
    )
  // A config that asks for more than the file could fill is corrupt: it must not cost memory.
  const model = withAllocationLimit(4 * bytes.length + 65536, () => modulesFromJSON(modules))
  // A name is as long as the way to its parameter: modules nested deeply can ask for more of them than the file holds.
  const names = model.namedState().reduce((n, [name]) => n + name.length, 0)
  if (names > bytes.length)
    throw new WengertError(
      'ERR_FILE',
      `loadModel: expected names of weights within the file, got modules whose weights have names of ${names} bytes`,
    )
  let fitted: (Transform | Encoder)[]
  try {
    model.loadStateDict(tensors)
    fitted = transforms.map(partFromJSON)
  } catch (error) {
    throw new WengertError('ERR_FILE', `loadModel: weights or transforms do not fit the model: ${(error as Error).message}`, {
      cause: error,
    })
  }
  const parameters = new Map(model.namedParameters())
  for (const name of frozen) {
    const parameter = parameters.get(name)
    if (!parameter)
      throw new WengertError('ERR_FILE', `loadModel: expected frozen to name parameters, got ${describe(name)}`, { actual: name })
    parameter.frozen = true
  }
  if (outputs !== undefined && outputs !== 'unknown' && !outputKinds.includes(outputs as OutputKind))
    throw new WengertError('ERR_FILE', `loadModel: expected outputs to be ${outputKinds.join(' or ')}, got ${describe(outputs)}`)
  if (sample !== undefined && !(Number.isInteger(sample) && (sample as number) >= 0))
    throw new WengertError('ERR_FILE', `loadModel: expected the rank of a sample, got ${describe(sample)}`)
  Object.assign(meaningOf(model), { outputs, sample, fields: inputs === undefined ? undefined : checkInputs(inputs) })
  const tables = tablePartsOf(model, json)
  return withParts(model, tables, fitted, classes === undefined ? undefined : checkClasses('ERR_FILE', 'loadModel', classes))
}

/** The several inputs of a saved model. Errors: ERR_FILE. */
function checkInputs(given: unknown): FieldForm[] {
  const known = (form: unknown): form is FieldForm =>
    isPlainObject(form) &&
    typeof form.name === 'string' &&
    form.name.split('.').every((part) => part !== '') &&
    Number.isInteger(form.rank) &&
    (form.rank as number) >= 0 &&
    dtypes.includes(form.dtype as Dtype)
  const sound =
    Array.isArray(given) && given.length > 0 && given.every((form, i) => known(form) && (i === 0 || given[i - 1].name < form.name))
  if (!sound) throw new WengertError('ERR_FILE', `loadModel: expected the names, ranks and types of inputs, got ${describe(given)}`)
  return given.map(({ name, rank, dtype }) => ({ name, rank, dtype }))
}

/** Above which one output means the second of two classes. Errors: ERR_STATE where nothing says what outputs mean. */
function limitOf(outputs: Meaning['outputs'], prediction: Tensor): number {
  const limit = outputs === 'unknown' ? undefined : boundaryOf(outputs)
  if (limit !== undefined) return limit
  // Of a model that no trainer has seen, only numbers that can be probabilities are taken for some.
  const possible = outputs === undefined && prediction.data.every((p) => p >= 0 && p <= 1)
  if (possible || outputs === 'values') return 0.5
  throw new WengertError(
    'ERR_STATE',
    "classesOf: nothing says whether the model's one output is a probability or a logit; save it with saveModel(model, path, { outputs: 'logits' }), or train it with a loss that says so",
    { actual: outputs },
  )
}

function withParts(
  model: Module,
  tables: TableParts,
  transforms: ModelParts['transforms'],
  classes: readonly string[] | undefined,
): LoadedModel {
  const { outputs: kind } = meaningOf(model)
  const parts: ModelParts = {
    ...tables,
    transforms,
    classes,
    outputs: kind === 'unknown' ? undefined : kind,
    preprocess: (x) => {
      const [first, ...others] = transforms
      if (!first && tables.table) return tables.table.encode(Array.isArray(x) ? x : [x])
      if (!first) return asTensor('preprocess', x)
      return others.reduce((t, transform) => transform(t), first(x as TensorLike))
    },
    classesOf: (prediction) => {
      if (!classes) throw new WengertError('ERR_STATE', 'classesOf: this model was saved without classes; give them to saveModel')
      if (!(prediction instanceof Tensor) || prediction.rank === 0)
        throw new WengertError('ERR_VALUE', `classesOf: expected a prediction [m, classes], got ${describe(prediction)}`, {
          actual: prediction,
        })
      const outputs = prediction.shape[prediction.rank - 1] as number
      const single = outputs === 1 && classes.length === 2
      const limit = single ? limitOf(kind, prediction) : 0
      const places = single ? Array.from(prediction.data, (p) => (p > limit ? 1 : 0)) : Array.from(argmax(prediction, -1).data)
      if (outputs !== 1 && outputs !== classes.length)
        throw new WengertError('ERR_SHAPE', `classesOf: expected ${classes.length} outputs, one a class, got ${outputs}`, {
          expected: classes.length,
          actual: outputs,
        })
      return places.map((place) => classes[place] as string)
    },
  }
  // Not enumerable: a module's fields are looked through for parameters and layers.
  for (const [name, value] of Object.entries(parts)) Object.defineProperty(model, name, { value })
  return model as LoadedModel
}

/**
 * The model that `saveModel` kept. Its `predict` takes what the saved one's took; `preprocess` brings raw features there, and
 * `classesOf` names a prediction's classes. A user's own classes of modules must be known here too (`nn.registerModule`).
 * Weights can be swapped later by `loadParameters(model, path)`, all at once.
 *
 * @throws (rejects) ERR_FILE for a file that is truncated, corrupt, or not a model
 * @example
 * const model = await loadModel('digits.model')
 * const [digit] = model.classesOf(model.predict(model.preprocess([pixels])))
 */
export async function loadModel(path: string): Promise<LoadedModel> {
  const bytes = await readBytes('loadModel', path)
  return naming(path, () => decodeModel(bytes))
}
