/** .npy and safetensors: NumPy's bytes read, ours read by NumPy's rules, every malformed header refused. */

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  arange,
  decodeNpy,
  decodeSafetensors,
  encodeNpy,
  encodeSafetensors,
  readNpy,
  readSafetensors,
  Tensor,
  tensor,
  writeNpy,
  writeSafetensors,
} from '../../lib/index.js'
import { codeOf } from '../backend/engines.js'
import { bytesOf, failureOf, folder, fuzz } from './helpers.js'

interface Golden {
  npy: { name: string; bytes: string; shape: number[]; values: number[] }[]
  safetensors: { bytes: string; values: Record<string, number[]> }
}
const golden = JSON.parse(readFileSync(new URL('../golden/io.json', import.meta.url), 'utf8')) as Golden
const path = folder()

const text = (s: string) => new Uint8Array(Buffer.from(s, 'latin1'))
const joined = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts))

describe('npy', () => {
  test.each(golden.npy)('reads what NumPy wrote: $name', ({ name, bytes, shape, values }) => {
    const t = decodeNpy(bytesOf(bytes))
    expect(t.shape).toEqual(shape)
    expect(Array.from(t.data)).toEqual(values)
    if (name === '<f8') expect(t.dtype).toBe('float64')
    if (name === '<i4' || name === '<i8') expect(t.dtype).toBe('int32')
    if (name === '|b1') expect(t.dtype).toBe('bool')
  })

  test.each(['<f4', '<f8', '<i4', '|b1', 'scalar', 'empty'])('writes the very bytes that NumPy does: %s', (name) => {
    const { bytes } = golden.npy.find((c) => c.name === name) as Golden['npy'][0]
    const numpy = decodeNpy(bytesOf(bytes))
    const ours = encodeNpy(numpy)
    const theirs = bytesOf(bytes)
    // NumPy pads the header for a growing first axis; what it says and where the data begins are the same.
    const header = (b: Uint8Array) => Buffer.from(b.subarray(0, 10 + (b[8] as number) + 256 * (b[9] as number))).toString('latin1')
    expect(header(ours).trimEnd().slice(10)).toBe(header(theirs).trimEnd().slice(10))
    expect(ours.subarray(header(ours).length)).toEqual(theirs.subarray(header(theirs).length))
    expect(header(ours).length % 64).toBe(0)
  })

  test('files there and back', async () => {
    const x = arange(24).reshape([2, 3, 4])
    await writeNpy(path('x.npy'), x)
    const again = await readNpy(path('x.npy'))
    expect(again.toArray()).toEqual(x.toArray())
    expect(again.dtype).toBe('int32')
  })

  const file = (header: string, data = new Uint8Array(8)) => {
    const head = new Uint8Array([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8])
    return joined(head, text(header), data)
  }
  test.each<[string, string]>([
    ['a tight header', "{'descr':'<f4','fortran_order':False,'shape':(2,)}"],
    ['double quotes, other order', '{"shape": (2,), "fortran_order": False, "descr": "<f4"}'],
  ])('reads %s', (_, header) => {
    expect(decodeNpy(file(header)).shape).toEqual([2])
  })

  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['another format', text('PK\x03\x04 this is a zip file')],
    ['a header cut off', file("{'descr': '<f4', ").subarray(0, 20)],
    ['an unclosed header', file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)")],
    ['a missing key', file("{'descr': '<f4', 'shape': (2,)}")],
    ['a key given twice', file("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}")],
    ['an unknown key', file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}")],
    ['an expression', file("{'descr': '<f4', 'fortran_order': False, 'shape': (1+1,)}")],
    ['something after the header', file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} ()")],
    ['big-endian numbers', file("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}")],
    ['objects', file("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}")],
    ['records', file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}")],
    ['too little data', file("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}")],
    ['too much data', file("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}")],
    ['an absurd shape', file("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999, 9999999999999999)}")],
    ['a name from the prototype', file("{'descr': 'toString', 'fortran_order': False, 'shape': (2,)}")],
    ['a bool of 2', file("{'descr': '|b1', 'fortran_order': False, 'shape': (8,)}", new Uint8Array(8).fill(2))],
    ['an integer beyond int32', file("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", new Uint8Array(8).fill(1))],
    ['version 4', file('').map((b, i) => (i === 6 ? 4 : b))],
  ])('refuses %s', (_, bytes) => {
    expect(codeOf(() => decodeNpy(bytes))).toBe('ERR_FILE')
  })

  test('names the file that is not there, and the one that is corrupt', async () => {
    expect(await failureOf(readNpy(path('none.npy')))).toMatchObject({ code: 'ERR_FILE', message: expect.stringContaining('none.npy') })
    expect((await failureOf(readNpy(''))).code).toBe('ERR_VALUE')
    expect((await failureOf(writeNpy(path('no/such/folder.npy'), tensor(1)))).code).toBe('ERR_FILE')
    expect((await failureOf(writeNpy(path('x.npy'), [1] as never))).code).toBe('ERR_VALUE')
  })

  test('mutated files give a value or a coded error', async () => {
    const refused = await fuzz(
      golden.npy.map((c) => bytesOf(c.bytes)),
      decodeNpy,
    )
    expect(refused).toBeGreaterThan(0)
  })
})

describe('safetensors', () => {
  test('reads what NumPy packed, in its order', () => {
    const { tensors, metadata } = decodeSafetensors(bytesOf(golden.safetensors.bytes))
    expect(Object.keys(tensors)).toEqual(Object.keys(golden.safetensors.values))
    for (const [name, values] of Object.entries(golden.safetensors.values))
      expect(Array.from((tensors[name] as Tensor).data), name).toEqual(values)
    expect(Object.values(tensors).map((t) => t.dtype)).toEqual(['float32', 'float32', 'float32', 'int32', 'float64', 'bool'])
    expect(metadata).toEqual({ by: 'numpy' })
  })

  const mixed = {
    flag: tensor([true, false, true]),
    weights: tensor([
      [1.5, -2],
      [3, 4e-20],
    ]),
    wide: tensor([Math.PI], { dtype: 'float64' }),
    n: tensor([7, -8], { dtype: 'int32' }),
    none: new Tensor([0, 4], 'float32', new Float32Array(0)),
    scalar: tensor(2),
  }

  test('writes a file that a plain reader finds: eight bytes, JSON, aligned data that tile', () => {
    const bytes = encodeSafetensors(mixed, { note: 'ü' })
    const view = new DataView(bytes.buffer)
    const length = Number(view.getBigUint64(0, true))
    expect(length % 8).toBe(0)
    const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString()) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: [number, number] }
    >
    expect(header.__metadata__).toEqual({ note: 'ü' })
    expect(header.flag).toMatchObject({ dtype: 'BOOL', shape: [3] })
    expect(header.wide?.dtype).toBe('F64')
    const begin = (name: string) => 8 + length + (header[name]?.data_offsets[0] ?? Number.NaN)
    expect(view.getFloat64(begin('wide'), true)).toBe(Math.PI)
    const at = begin('weights')
    expect(at % 4).toBe(0)
    expect(view.getFloat32(at + 4, true)).toBe(-2)
  })

  test('writes the bytes in which NumPy found these tensors', () => {
    const file = new URL('../golden/io-written.json', import.meta.url)
    const { bytes, tensors } = JSON.parse(readFileSync(file, 'utf8')) as {
      bytes: string
      tensors: Record<string, [string, number[], number[]]>
    }
    expect(encodeSafetensors(mixed, { note: 'ü' })).toEqual(bytesOf(bytes))
    expect(tensors).toEqual(Object.fromEntries(Object.entries(mixed).map(([name, t]) => [name, [t.dtype, t.shape, Array.from(t.data)]])))
  })

  test('files there and back, in the same order', async () => {
    await writeSafetensors(path('a.safetensors'), mixed, { metadata: { a: '1' } })
    const { tensors, metadata } = await readSafetensors(path('a.safetensors'))
    expect(Object.keys(tensors)).toEqual(Object.keys(mixed))
    expect(metadata).toEqual({ a: '1' })
    for (const [name, t] of Object.entries(mixed)) {
      expect(tensors[name]?.dtype).toBe(t.dtype)
      expect(tensors[name]?.shape).toEqual(t.shape)
      expect(tensors[name]?.data).toEqual(t.data)
    }
  })

  const file = (header: unknown, data = 8, length?: bigint) => {
    const body = text(typeof header === 'string' ? header : JSON.stringify(header))
    const head = new Uint8Array(8)
    new DataView(head.buffer).setBigUint64(0, length ?? BigInt(body.length), true)
    return joined(head, body, new Uint8Array(data))
  }
  const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({ dtype, shape, data_offsets: [begin, end] })

  test('reads the smallest files', () => {
    expect(decodeSafetensors(file({}, 0)).tensors).toEqual({})
    expect(decodeSafetensors(file({ a: entry(0, 8) })).tensors.a?.shape).toEqual([2])
  })

  test.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /at least 8 bytes/],
    ['a header length beyond the file', file({}, 0, 1n << 40n), /header within/],
    ['the largest header length', file({}, 0, (1n << 64n) - 1n), /header within/],
    ['a truncated header', file({ a: entry(0, 8) }).subarray(0, 30), /header within/],
    ['truncated data', file({ a: entry(0, 8) }, 7), /truncated/],
    ['data beyond the tensors', file({ a: entry(0, 8) }, 9), /8 bytes of data/],
    ['a header that is not JSON', file('{"a":'), /JSON/],
    ['a header that is no object', file('[]'), /by name/],
    [
      'a name given twice',
      file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
      /twice/,
    ],
    ['a name given twice, once escaped', file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\\u0061":{}}'), /twice/],
    ['a field given twice', file('{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}'), /twice/],
    ['ranges that overlap', file({ a: entry(0, 8), b: entry(4, 8) }), /overlap/],
    ['equal ranges', file({ a: entry(0, 8), b: entry(0, 8) }), /overlap/],
    ['a gap', file({ a: entry(4, 8) }), /gap/],
    ['a range outside the file', file({ a: entry(0, 16) }), /within the 8 bytes/],
    ['a range that runs backwards', file({ a: { dtype: 'F32', shape: [2], data_offsets: [8, 0] } }), /8 bytes for a/],
    ['a shape of other size', file({ a: entry(0, 8, [3]) }), /12 bytes/],
    ['an overflowing shape', file({ a: entry(0, 8, [2 ** 40, 2 ** 40]) }), /bytes for a/],
    ['a negative dimension', file({ a: entry(0, 8, [-2, -1]) }), /shape/],
    ['an unknown type', file({ a: entry(0, 8, [2], 'F8_E4M3') }), /types/],
    ['a type of the prototype', file({ a: entry(0, 8, [2], 'constructor') }), /types/],
    ['an entry that is null', file('{"a":null}'), /types/],
    ['metadata of numbers', file({ __metadata__: { a: 1 } }, 0), /metadata/],
    ['bytes that are not UTF-8', joined(file({}, 0).subarray(0, 8), new Uint8Array([0xff, 0xfe])), /UTF-8/],
    ['nesting without end', file(`${'['.repeat(5000)}${']'.repeat(5000)}`, 0), /deep/],
  ])('refuses %s', (_, bytes, message) => {
    let error: unknown
    try {
      decodeSafetensors(bytes)
    } catch (e) {
      error = e
    }
    expect(error).toMatchObject({ code: 'ERR_FILE', message: expect.stringMatching(message) })
  })

  test('refuses to write what is no tensor', () => {
    expect(codeOf(() => encodeSafetensors({ a: 1 } as never))).toBe('ERR_VALUE')
    expect(codeOf(() => encodeSafetensors({ __metadata__: tensor(1) }))).toBe('ERR_VALUE')
    expect(codeOf(() => encodeSafetensors({}, { a: 1 } as never))).toBe('ERR_VALUE')
  })

  test('mutated files give a value or a coded error, never more elements than the file has bytes', async () => {
    const refused = await fuzz([bytesOf(golden.safetensors.bytes), encodeSafetensors(mixed, { a: 'b' })], (bytes) => {
      for (const t of Object.values(decodeSafetensors(bytes).tensors)) expect(t.size).toBeLessThanOrEqual(bytes.length)
    })
    expect(refused).toBeGreaterThan(0)
  })
})
