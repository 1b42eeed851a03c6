/** Images as data: bytes to numbers channels first and back, folders of classes, and what is refused. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Dataset, imageTransform, loadModel, nn, type Pixels, Random, saveModel, tensor, transformFromJSON } from '../../lib/index.js'

const folder = mkdtempSync(join(tmpdir(), 'wengert-image-data-'))
afterAll(() => rmSync(folder, { recursive: true }))

const codeOf = async (body: () => unknown): Promise<[string, string]> => {
  try {
    await body()
  } catch (error) {
    return [(error as { code: string }).code, (error as Error).message]
  }
  return ['nothing', '']
}

describe('imageTransform', () => {
  // 2 rows of 3 pixels of 2 channels.
  const bytes = Uint8Array.of(0, 100, 1, 101, 2, 102, 10, 110, 11, 111, 255, 112)
  const toInput = imageTransform({ height: 2, width: 3, channels: 2, mean: [0, 0.5], std: [1, 0.25] })
  const expected = [0, 1, 2, 10, 11, 255].map((v) => v / 255).concat([100, 101, 102, 110, 111, 112].map((v) => (v / 255 - 0.5) / 0.25))

  test('bytes of one image, of several, tensors and data sets: scaled, normalised, channels first', () => {
    const one = toInput(bytes)
    expect([one.shape, one.dtype]).toEqual([[2, 2, 3], 'float32'])
    expect(Array.from(one.data)).toEqual(expected.map(Math.fround))
    for (const several of [
      [bytes, bytes],
      [Array.from(bytes), Array.from(bytes)],
    ]) {
      const two = toInput(several as number[][])
      expect(two.shape).toEqual([2, 2, 2, 3])
      expect(two.gather(1).data).toEqual(one.data)
    }
    expect(toInput(Buffer.from(bytes)).data).toEqual(one.data)
    expect(toInput(tensor(bytes, { shape: [2, 3, 2] })).data).toEqual(one.data)
    expect(toInput(tensor(bytes, { shape: [1, 2, 3, 2] })).shape).toEqual([1, 2, 2, 3])
    const set = toInput({ x: [bytes, bytes], y: [0, 1], classes: ['cat', 'dog'] } as never)
    expect([set.x.shape, set.classes]).toEqual([
      [2, 2, 2, 3],
      ['cat', 'dog'],
    ])
    expect(Array.from(toInput.inverse(one).data).map(Math.round)).toEqual(Array.from(bytes))
    expect(toInput.inverse(one).shape).toEqual([2, 3, 2])
  })

  test('goes through JSON and travels with a model', async () => {
    const copy = transformFromJSON(JSON.parse(JSON.stringify(toInput)))
    expect(copy(bytes).data).toEqual(toInput(bytes).data)
    const path = join(folder, 'model.wengert')
    const model = new nn.Sequential(new nn.Conv2d(2, 3, 2, { rng: new Random(1) }), new nn.GlobalAvgPool2d())
    await saveModel(model, path, { transforms: [toInput] })
    const loaded = await loadModel(path)
    expect(loaded.predict(loaded.preprocess(bytes)).data).toEqual(model.predict(toInput(bytes)).data)
  })

  test.each([
    ['no size', () => imageTransform({ width: 2 } as never), 'ERR_RANGE', /height/],
    ['a misspelling', () => imageTransform({ height: 2, width: 2, chanels: 1 } as never), 'ERR_OPTION', /did you mean 'channels'/],
    [
      'two means of three channels',
      () => imageTransform({ height: 2, width: 2, mean: [1, 2] }),
      'ERR_OPTION',
      /one for each of 3 channels/,
    ],
    ['a deviation of 0', () => imageTransform({ height: 2, width: 2, std: 0 }), 'ERR_RANGE', /std/],
    ['another size', () => toInput(new Uint8Array(13)), 'ERR_SHAPE', /\[m, 2, 3, 2\]/],
    ['a file without scale', () => transformFromJSON({ kind: 'image', shape: [1, 1, 1], mean: [0], std: [1] }), 'ERR_VALUE', /scale/],
    [
      'a file with a deviation of 0',
      () => transformFromJSON({ kind: 'image', shape: [1, 1, 1], scale: 1, mean: [0], std: [0] }),
      'ERR_VALUE',
      /image/,
    ],
    [
      'a file of two axes',
      () => transformFromJSON({ kind: 'image', shape: [1, 1], scale: 1, mean: [0], std: [1] }),
      'ERR_VALUE',
      /shape of an image/,
    ],
  ] as const)('refuses %s', async (_name, attempt, code, message) => {
    const [got, text] = await codeOf(attempt)
    expect(got, text).toBe(code)
    expect(text).toMatch(message)
  })
})

describe('Dataset.fromImageFolder', () => {
  /** A format of our own: width, height, then grey bytes. */
  const put = (name: string, width: number, values: number[]) => {
    const path = join(folder, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, Uint8Array.of(width, values.length / width, ...values))
  }
  put('pets/dog/b.png', 2, [5, 6, 7, 8])
  put('pets/dog/a.PNG', 2, [1, 2, 3, 4])
  put('pets/cat/deep/c.png', 2, [9, 10, 11, 12])
  put('pets/cat/notes.txt', 2, [0, 0])
  put('pets/.hidden/x.png', 2, [0, 0, 0, 0])
  for (let i = 0; i < 20; i++) put(`pets/eel/${String(i).padStart(2, '0')}.png`, 2, [i, i, i, i])
  put('odd/one/a.png', 2, [1, 2, 3, 4])
  put('odd/two/b.png', 1, [1, 2])
  put('empty/one/notes.txt', 1, [1])
  put('flat/a.png', 1, [1])
  const decode = async (path: string): Promise<Pixels> => {
    const [width, height, ...data] = await readFile(path)
    return { data: Uint8Array.from(data), width: width as number, height: height as number, channels: 1 }
  }

  test('classes by name, files by name, in and below their folders', async () => {
    const data = await Dataset.fromImageFolder(join(folder, 'pets'), { decode })
    expect(data.classes).toEqual(['cat', 'dog', 'eel'])
    expect(data.x.shape).toEqual([23, 2, 2, 1])
    expect(Array.from(data.x.data.slice(0, 12))).toEqual([9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 7, 8])
    expect(Array.from(data.x.data.slice(12))).toEqual(Array.from({ length: 80 }, (_, i) => Math.floor(i / 4)))
    expect(Array.from(data.y.data)).toEqual([0, 1, 1, ...new Array(20).fill(2)])
    expect(data.y.dtype).toBe('int32')
  })

  test("a transform, and what sharp's buffers look like", async () => {
    const transform = imageTransform({ height: 2, width: 2, channels: 1 })
    const sharp = async (path: string) => {
      const { data, ...info } = await decode(path)
      return { data: Buffer.from(data), info }
    }
    const data = await Dataset.fromImageFolder(join(folder, 'pets'), { decode: sharp, transform })
    expect(data.x.shape).toEqual([23, 1, 2, 2])
    expect(data.x.data[0]).toBe(Math.fround(9 / 255))
  })

  test.each([
    ['no decoder', 'pets', {}, 'ERR_OPTION', /decode is a function/],
    ['a misspelling', 'pets', { decode, transfrom: 1 }, 'ERR_OPTION', /did you mean 'transform'/],
    ['an ending without a dot', 'pets', { decode, extensions: ['png'] }, 'ERR_OPTION', /'\.png'/],
    ['images of two sizes', 'odd', { decode }, 'ERR_DATA', /2 × 2 × 1 like .*a\.png, got 2 × 1 × 1 of .*b\.png/],
    ['a class without images', 'empty', { decode }, 'ERR_DATA', /the folder one holds no file/],
    ['images without classes', 'flat', { decode }, 'ERR_DATA', /holds no folders/],
    ['no such folder', 'nothing', { decode }, 'ERR_FILE', /cannot read/],
    ['a decoder that throws', 'pets', { decode: () => Promise.reject(new Error('not a PNG')) }, 'ERR_DATA', /c\.png: not a PNG/],
    ['a decoder that gives nothing', 'pets', { decode: () => undefined }, 'ERR_DATA', /Uint8Array, width/],
    [
      'too few bytes',
      'pets',
      { decode: () => ({ data: new Uint8Array(3), width: 2, height: 2, channels: 1 }) },
      'ERR_DATA',
      /expected 4 bytes .* got 3; decode to 8 bits/,
    ],
  ] as const)('refuses %s', async (_name, name, options, code, message) => {
    const [got, text] = await codeOf(() => Dataset.fromImageFolder(join(folder, name), options as never))
    expect(got, text).toBe(code)
    expect(text).toMatch(message)
  })
})
