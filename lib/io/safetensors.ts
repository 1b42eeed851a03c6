/**
 * The safetensors format: eight bytes of header length (little-endian), a JSON header of names, types, shapes and byte
 * ranges, then the elements. Everything is checked before anything is taken: ranges must tile the data exactly.
 */

import { WengertError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, bytesPerElement, type Dtype } from '../util/dtype.js'
import { checkOptions, describe, short } from '../util/options.js'
import { formatShape, type Shape, sizeOf } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'
import { checkPath, writeAtomic } from './atomic.js'
import { decodeElements, type ElementKind, type ElementName, elementKinds, elementOf, encodeElements } from './elements.js'
import { parseJSON } from './json.js'
import { naming, readBytes } from './read-file.js'

/** What a file holds: tensors in the order of its header, and its `__metadata__`. */
export interface Safetensors {
  tensors: Record<string, Tensor>
  metadata: Record<string, string>
}

interface Entry {
  name: string
  kind: ElementKind
  shape: Shape
  begin: number
  end: number
}

/** The format's own limit. */
export const longestHeader = 100_000_000
const metadataName = '__metadata__'

function fail(text: string, actual?: unknown): WengertError {
  return new WengertError('ERR_FILE', `safetensors: expected ${text}`, { actual })
}

const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0

function entryOf(name: string, value: unknown): Entry {
  const called = short(name)
  const { dtype, shape, data_offsets: range } = (isPlainObject(value) ? value : {}) as Record<string, unknown>
  const key = typeof dtype === 'string' && dtype === dtype.toUpperCase() ? dtype.toLowerCase() : ''
  if (!Object.hasOwn(elementKinds, key))
    throw fail(`${called} of one of the types ${Object.keys(elementKinds).join(' ').toUpperCase()}, got ${describe(dtype)}`, dtype)
  const kind: ElementKind = elementKinds[key as ElementName]
  if (!Array.isArray(shape) || !shape.every(isCount)) throw fail(`a shape of ${called}, got ${describe(shape)}`, shape)
  const bytes = sizeOf(shape) * kind.bytes
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isCount)) {
    throw fail(`data_offsets of ${called} as two byte positions, got ${describe(range)}`, range)
  }
  const [begin, end] = range as [number, number]
  if (end - begin !== bytes) throw fail(`${bytes} bytes for ${called}, ${dtype} ${formatShape(shape)}, got ${end - begin}`, end - begin)
  return { name, kind, shape, begin, end }
}

function metadataOf(value: unknown): Record<string, string> {
  if (value === undefined) return {}
  if (!isPlainObject(value) || !Object.values(value).every((text) => typeof text === 'string'))
    throw fail(`${metadataName} of strings by name, got ${describe(value)}`, value)
  return value as Record<string, string>
}

/**
 * The tensors and metadata in the bytes of a safetensors file (copied). F16 and BF16 become float32, integers int32.
 *
 * @throws ERR_FILE for a file that is truncated, whose header is absurd, repeats a name, or gives ranges that overlap, leave
 *   gaps or lie outside the file
 */
export function decodeSafetensors(bytes: Uint8Array): Safetensors {
  if (bytes.length < 8) throw fail(`at least 8 bytes, got ${bytes.length}`, bytes.length)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = Number(view.getBigUint64(0, true))
  if (length > longestHeader || length > bytes.length - 8) {
    throw fail(
      `a header within the file's ${bytes.length - 8} further bytes, got one of ${length}; is the file truncated or of another format?`,
      length,
    )
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, 8 + length))
  } catch (error) {
    throw new WengertError('ERR_FILE', 'safetensors: the header is not UTF-8', { cause: error })
  }
  const header = parseJSON('safetensors: header', text)
  if (!isPlainObject(header)) throw fail(`a header of tensors by name, got ${describe(header)}`, header)
  const data = bytes.subarray(8 + length)
  const metadata = metadataOf(Object.hasOwn(header, metadataName) ? header[metadataName] : undefined)
  const entries = Object.entries(header)
    .filter(([name]) => name !== metadataName)
    .map(([name, value]) => entryOf(name, value))
  let covered = 0
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered)
      throw fail(`${short(name)} to begin at byte ${covered}, got ${begin}: ranges ${begin < covered ? 'overlap' : 'leave a gap'}`, begin)
    if (end > data.length)
      throw fail(`${short(name)} to end within the ${data.length} bytes of data, got ${end}; is the file truncated?`, end)
    covered = end
  }
  if (covered !== data.length) throw fail(`${covered} bytes of data, got ${data.length}`, data.length)
  return {
    tensors: Object.fromEntries(
      entries.map(({ name, kind, shape, begin, end }) => [
        name,
        new Tensor(shape, kind.dtype, decodeElements(`safetensors: ${short(name)}`, kind, data.subarray(begin, end), sizeOf(shape))),
      ]),
    ),
    metadata,
  }
}

/** A header as bytes. Errors: ERR_FILE for one that no reader would take. */
function headerBytes(where: string, header: object): Uint8Array {
  let bytes: Uint8Array | undefined
  try {
    bytes = new TextEncoder().encode(JSON.stringify(header))
  } catch (error) {
    // Longer than a string can be.
    if (!(error instanceof RangeError)) throw error
  }
  if (bytes !== undefined && bytes.length <= longestHeader) return bytes
  throw new WengertError(
    'ERR_FILE',
    `${where}: the names and metadata of a file take at most ${longestHeader} bytes; these take ${bytes?.length ?? 'far more'}, and no reader would accept them`,
    { expected: longestHeader, actual: bytes?.length },
  )
}

/** The header and each tensor's bytes (its own memory) in their places: wider types first, so that all are aligned. */
export function partsOf(where: string, tensors: Record<string, Tensor>, metadata: Record<string, string>): Uint8Array[] {
  if (!isPlainObject(tensors))
    throw new WengertError('ERR_VALUE', `${where}: expected tensors by name, got ${describe(tensors)}`, { actual: tensors })
  const entries = Object.entries(tensors)
  for (const [name, tensor] of entries) {
    if (!(tensor instanceof Tensor) || name === metadataName)
      throw new WengertError('ERR_VALUE', `${where}: expected tensors by name, got ${describe(tensor)} as ${describe(name)}`, {
        actual: tensor,
      })
  }
  for (const [name, text] of Object.entries(metadata)) {
    if (typeof text !== 'string')
      throw new WengertError('ERR_VALUE', `${where}: expected metadata of strings, got ${describe(text)} as ${describe(name)}`, {
        actual: text,
      })
  }
  const width = (dtype: Dtype) => bytesPerElement[dtype]
  const placed = [...entries].sort(([, a], [, b]) => width(b.dtype) - width(a.dtype))
  const ranges = new Map<string, [number, number]>()
  let at = 0
  for (const [name, tensor] of placed) {
    const end = at + tensor.size * width(tensor.dtype)
    ranges.set(name, [at, end])
    at = end
  }
  const text = headerBytes(
    where,
    Object.fromEntries<unknown>([
      ...(Object.keys(metadata).length > 0 ? [[metadataName, metadata] as const] : []),
      ...entries.map(
        ([name, t]) => [name, { dtype: elementOf[t.dtype].toUpperCase(), shape: t.shape, data_offsets: ranges.get(name) }] as const,
      ),
    ]),
  )
  const head = (allocate('bool', 8 + Math.ceil(text.length / 8) * 8) as Uint8Array).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true)
  head.set(text, 8)
  return [head, ...placed.map(([, tensor]) => encodeElements(tensor.dtype, tensor.data))]
}

/** The bytes of a safetensors file. Errors: ERR_VALUE. */
export function encodeSafetensors(tensors: Record<string, Tensor>, metadata: Record<string, string> = {}): Uint8Array {
  const parts = partsOf('encodeSafetensors', tensors, metadata)
  const bytes = allocate(
    'bool',
    parts.reduce((n, part) => n + part.length, 0),
  ) as Uint8Array
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/**
 * Reads a safetensors file.
 *
 * @throws (rejects) ERR_FILE
 * @example const { tensors } = await readSafetensors('model.safetensors')
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const bytes = await readBytes('readSafetensors', path)
  return naming(path, () => decodeSafetensors(bytes))
}

/**
 * Writes tensors by name as a safetensors file, whole or not at all. The tensors must not change until it is done.
 *
 * @param options.metadata strings by name
 * @throws (rejects) ERR_FILE, ERR_VALUE
 */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, Tensor>,
  options: { metadata?: Record<string, string> | undefined } = {},
): Promise<void> {
  checkPath('writeSafetensors', path)
  checkOptions('writeSafetensors', options, ['metadata'])
  await writeAtomic(path, partsOf('writeSafetensors', tensors, options.metadata ?? {}), { where: 'writeSafetensors' })
}

/**
 * Writes a model's parameters, as they are at the call (during a fit: as of a finished epoch), as a safetensors file.
 *
 * @throws (rejects) ERR_FILE
 * @example await saveParameters(model, 'weights.safetensors')
 */
export async function saveParameters(model: Module, path: string): Promise<void> {
  await writeSafetensors(path, model.stateDict(), { metadata: { format: 'wengert' } })
}

/**
 * Takes parameters from a safetensors file: all of them at once, between two predictions, or nothing where the file or any
 * name, shape or type does not fit. Files of other programs serve too.
 *
 * @param options.strict whether the names must be exactly the model's; true by default
 * @throws (rejects) ERR_FILE, ERR_STATE, ERR_BUSY during a fit
 */
export async function loadParameters(model: Module, path: string, options: { strict?: boolean | undefined } = {}): Promise<void> {
  checkOptions('loadParameters', options, ['strict'])
  const { tensors } = await readSafetensors(path)
  naming(path, () => model.loadStateDict(tensors, options))
}
