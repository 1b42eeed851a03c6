/**
 * NumPy's array files: the magic string, a version, a header that is a Python dictionary, then the elements. Versions 1 to
 * 3 are read; version 1 is written. Nothing is evaluated: the header is read token by token.
 */

import { WengertError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { allocate, bytesPerElement, type Dtype, type TypedArray } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { formatShape, type Shape, sizeOf, stridesOf } from '../util/shape.js'
import { checkPath, writeAtomic } from './atomic.js'
import { decodeElements, type ElementKind, type ElementName, elementKinds, encodeElements } from './elements.js'
import { naming, readBytes } from './read-file.js'

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
const mostAxes = 64

/** NumPy's codes; one byte has no order. */
const codes = new Map<string, ElementName>([
  ['<f2', 'f16'],
  ['<f4', 'f32'],
  ['<f8', 'f64'],
  ['|i1', 'i8'],
  ['|u1', 'u8'],
  ['<i2', 'i16'],
  ['<u2', 'u16'],
  ['<i4', 'i32'],
  ['<u4', 'u32'],
  ['<i8', 'i64'],
  ['<u8', 'u64'],
  ['|b1', 'bool'],
])
const codeOf: Record<Dtype, string> = { float32: '<f4', float64: '<f8', int32: '<i4', bool: '|b1' }

function fail(text: string, actual?: unknown): WengertError {
  return new WengertError('ERR_FILE', `npy: expected ${text}`, { actual })
}

interface Header {
  descr: string
  fortran: boolean
  shape: number[]
}

const tokens = /\s*(?:([{}():,])|'([^'\\]*)'|"([^"\\]*)"|(True|False)|(\d{1,16})L?)/y

/** `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order and spacing. */
function parseHeader(text: string): Header {
  const bad = () => fail(`a header with descr, fortran_order and shape, got ${describe(text.trim())}`, text)
  let at = 0
  /** The next token: a mark as itself, other kinds by name with their text. */
  const scan = (): [kind: string, value: string] => {
    tokens.lastIndex = at
    const match = tokens.exec(text)
    if (!match) return ['end', '']
    at = tokens.lastIndex
    const [, mark, single, double, flag, number] = match
    if (mark !== undefined) return [mark, mark]
    return flag !== undefined ? ['flag', flag] : number !== undefined ? ['number', number] : ['text', (single ?? double) as string]
  }
  let [kind, value] = scan()
  const eat = (expected: string): string => {
    if (kind !== expected) throw bad()
    const eaten = value
    ;[kind, value] = scan()
    return eaten
  }
  const list = (close: string, item: () => void): void => {
    while (kind !== close) {
      item()
      if (kind !== close) eat(',')
    }
    eat(close)
  }
  const found: Partial<Header> = {}
  eat('{')
  list('}', () => {
    const key = eat('text')
    eat(':')
    if (key === 'shape' && !found.shape) {
      const shape: number[] = []
      eat('(')
      list(')', () => {
        if (shape.push(Number(eat('number'))) > mostAxes) throw bad()
      })
      found.shape = shape
    } else if (key === 'descr' && found.descr === undefined) found.descr = eat('text')
    else if (key === 'fortran_order' && found.fortran === undefined) found.fortran = eat('flag') === 'True'
    else throw bad()
  })
  const { descr, fortran, shape } = found
  if (text.slice(at).trim() !== '' || descr === undefined || fortran === undefined || !shape) throw bad()
  return { descr, fortran, shape }
}

/** The same elements in row-major order: in Fortran's the first axis is the fastest. */
function rowMajor(data: TypedArray, dtype: Dtype, shape: Shape): TypedArray {
  const out = allocate(dtype, data.length)
  const strides = stridesOf([...shape].reverse()).reverse()
  const index = new Array<number>(shape.length).fill(0)
  let from = 0
  for (let to = 0; to < data.length; to++) {
    out[to] = data[from] as number
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis] as number
      index[axis] = (index[axis] as number) + 1
      if ((index[axis] as number) < (shape[axis] as number)) break
      from -= (strides[axis] as number) * (shape[axis] as number)
      index[axis] = 0
    }
  }
  return out
}

/**
 * The tensor in the bytes of a `.npy` file (copied). Half floats become float32, integers int32; Fortran order is turned
 * into row-major.
 *
 * @throws ERR_FILE for a file that is truncated, of another format or of a type that tensors cannot hold
 */
export function decodeNpy(bytes: Uint8Array): Tensor {
  const [major, minor] = [bytes[6], bytes[7]]
  if (!magic.every((byte, i) => bytes[i] === byte)) throw fail('the magic string of a .npy file, got other bytes')
  if ((major !== 1 && major !== 2 && major !== 3) || minor !== 0) throw fail(`version 1.0, 2.0 or 3.0, got ${major}.${minor}`, major)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const start = major === 1 ? 10 : 12
  if (bytes.length < start) throw fail(`a header, got ${bytes.length} bytes`)
  const end = start + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true))
  if (end > bytes.length) throw fail(`a header that ends within the file, at byte ${bytes.length}, got one to byte ${end}`, end)
  const header = parseHeader(new TextDecoder(major === 3 ? 'utf-8' : 'latin1').decode(bytes.subarray(start, end)))
  // One byte in any order is the same byte.
  const name = codes.get(header.descr.replace(/^[<>=](?=[iub]1$)/, '|'))
  if (name === undefined)
    throw fail(
      `one of the types ${[...codes.keys()].join(' ')}, got ${describe(header.descr)}; in Python: x.astype('<f4') (object arrays are never read)`,
      header.descr,
    )
  const kind: ElementKind = elementKinds[name]
  const size = sizeOf(header.shape)
  if (!Number.isSafeInteger(size * kind.bytes) || !header.shape.every(Number.isSafeInteger) || end + size * kind.bytes !== bytes.length) {
    throw fail(
      `${size * kind.bytes} bytes of elements for ${header.descr} ${formatShape(header.shape)}, got ${bytes.length - end}`,
      bytes.length - end,
    )
  }
  const data = decodeElements('npy', kind, bytes.subarray(end), size)
  return new Tensor(header.shape, kind.dtype, header.fortran && header.shape.length > 1 ? rowMajor(data, kind.dtype, header.shape) : data)
}

/** The header and the elements of a `.npy` file; the elements are the tensor's own memory. */
function partsOf(tensor: Tensor): Uint8Array[] {
  const shape = `(${tensor.shape.join(', ')}${tensor.rank === 1 ? ',' : ''})`
  const text = `{'descr': '${codeOf[tensor.dtype]}', 'fortran_order': False, 'shape': ${shape}, }`
  // Elements begin at a multiple of 64 bytes, after a line's end, as NumPy writes them.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10
  const header = new Uint8Array(10 + length)
  header.set(magic)
  header[6] = 1
  new DataView(header.buffer).setUint16(8, length, true)
  header.set(new TextEncoder().encode(`${text.padEnd(length - 1)}\n`), 10)
  return [header, encodeElements(tensor.dtype, tensor.data)]
}

/** The bytes of a `.npy` file, version 1.0: float32, float64, int32 or bool in row-major order. */
export function encodeNpy(tensor: Tensor): Uint8Array {
  const [header, data] = partsOf(checkTensor('encodeNpy', tensor)) as [Uint8Array, Uint8Array]
  const bytes = new Uint8Array(header.length + tensor.size * bytesPerElement[tensor.dtype])
  bytes.set(header)
  bytes.set(data, header.length)
  return bytes
}

function checkTensor(where: string, tensor: unknown): Tensor {
  if (!(tensor instanceof Tensor))
    throw new WengertError('ERR_VALUE', `${where}: expected a tensor, got ${describe(tensor)}`, { actual: tensor })
  return tensor
}

/**
 * Reads a `.npy` file: types f2 f4 f8 i1 u1 i2 u2 i4 u4 i8 u8 b1, little-endian, either order of axes.
 *
 * @throws (rejects) ERR_FILE
 * @example const x = await readNpy('features.npy')
 */
export async function readNpy(path: string): Promise<Tensor> {
  const bytes = await readBytes('readNpy', path)
  return naming(path, () => decodeNpy(bytes))
}

/**
 * Writes a tensor as a `.npy` file, whole or not at all. The tensor must not change until it is done.
 *
 * @throws (rejects) ERR_FILE, ERR_VALUE
 */
export async function writeNpy(path: string, tensor: Tensor): Promise<void> {
  checkPath('writeNpy', path)
  await writeAtomic(path, partsOf(checkTensor('writeNpy', tensor)), { where: 'writeNpy' })
}
