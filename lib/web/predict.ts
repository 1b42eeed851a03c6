/**
 * `wengert/web/predict`: a page that predicts with a model trained elsewhere, in half of the bytes. `wengert/web` has all of this, and
 * differentiates and trains. No module of Node is imported; the JavaScript engine computes.
 */

import '../primitives/methods.js'
import { WengertError } from '../errors.js'
import { decodeModel, type LoadedModel } from '../io/model.js'
import { describe } from '../util/options.js'
import { bringLayers } from './layers-later.js'
import { bringTables } from './tables-later.js'

export type { BackendInfo, BackendName } from '../backend/backend.js'
export { backend } from '../backend/select.js'
export { type ErrorCode, type ErrorDetails, WengertError } from '../errors.js'
export { decodeModel, type LoadedModel, type ModelParts } from '../io/model.js'
export type { Module } from '../nn/module.js'
export { type ModuleClass, registerModule } from '../nn/registry.js'
export { type TensorLike, type TensorOptions, tensor } from '../tensor/creation.js'
export { type NestedArray, Tensor } from '../tensor/tensor.js'
export type { Dtype, FloatDtype, TypedArray } from '../util/dtype.js'
export type { Shape } from '../util/shape.js'

/** Where the bytes of a model come from: memory, or what a page was given. */
export type ModelSource = Uint8Array | ArrayBuffer | { arrayBuffer(): Promise<ArrayBuffer> }

async function bytesOf(source: ModelSource): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source
  if (source instanceof ArrayBuffer) return new Uint8Array(source)
  const { arrayBuffer, ok, status, url } = (source ?? {}) as { arrayBuffer?: unknown; ok?: boolean; status?: number; url?: string }
  if (typeof arrayBuffer !== 'function')
    throw new WengertError('ERR_VALUE', `loadModel: expected the bytes of a model, a Blob or a Response, got ${describe(source)}`, {
      actual: source,
    })
  // The page of an error would be taken for a corrupt model.
  if (ok === false)
    throw new WengertError('ERR_FILE', `loadModel: ${url || 'the server'} answered with status ${status}`, { actual: status })
  return new Uint8Array(await (source as Blob).arrayBuffer())
}

/** The header of a file, as text. */
function headerOf(bytes: Uint8Array): string {
  if (bytes.length < 8) return ''
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getUint32(0, true)
  return new TextDecoder().decode(bytes.subarray(8, 8 + length))
}

/** Whether a file's header speaks of a table, or of records. It is JSON in a string of JSON: quotes are escaped. */
const answersToRecords = (header: string): boolean => /\\"table\\":|\\"records\\"/.test(header)

/**
 * The model that `saveModel` kept, from its bytes: a typed array, an ArrayBuffer, a Blob or File, or what `fetch` resolves to. Its
 * `predict`, `preprocess` and `classesOf` are those of Node's. A model that answers to records fetches one more file, and
 * so does one with convolutions, recurrent layers or attention.
 *
 * @throws (rejects) ERR_FILE for bytes that are truncated, corrupt, or not a model, and for a response that is none
 * @example
 * const model = await loadModel(await fetch('digits.model'))
 * const [digit] = model.classesOf(model.predict(pixels))
 */
export async function loadModel(source: ModelSource): Promise<LoadedModel> {
  const bytes = await bytesOf(source)
  const header = headerOf(bytes)
  if (answersToRecords(header)) await bringTables()
  await bringLayers(header)
  return decodeModel(bytes)
}
