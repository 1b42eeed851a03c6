/** Images from folders, one a class: who decodes them is handed in, so that no decoder is part of the library. */

import { readdir } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { partOfOption, rangeOf, type Shard, type ShardOption } from '../distributed/shard.js'
import { WengertError } from '../errors.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { allocateShared } from '../util/dtype.js'
import { checkOptions, describe, listed } from '../util/options.js'
import { rowsBetween } from './shards.js'

/** The bytes of an image, row by row, a pixel's channels together. */
export interface Pixels {
  data: Uint8Array
  width: number
  height: number
  channels: number
}

/** Of `Dataset.fromImageFolder`. */
export interface ImageFolderOptions {
  /**
   * Reads one file; what `sharp(path).raw().toBuffer({ resolveWithObject: true })` gives is taken as it is, and `Pixels` from any
   * other decoder. All images must come out at one size.
   */
  decode(path: string): Pixels | SharpPixels | Promise<Pixels | SharpPixels>
  /** Of each image, [height, width, channels]: an `imageTransform`. Without one samples are its pixels as they are. */
  transform?: ((x: TensorLike) => Tensor) | undefined
  /** Endings of the files that are images, in lower case; those of the usual formats by default. Others are passed over. */
  extensions?: readonly string[] | undefined
  /** Of several processes, 'auto' decodes this rank's range of the files alone; { rank, size } a part by its number. */
  shard?: ShardOption | undefined
}

/** What `sharp` gives with `resolveWithObject`. */
export interface SharpPixels {
  data: Uint8Array
  info: { width: number; height: number; channels: number }
}

const usual = ['.avif', '.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp']
/** Files that are decoded at a time. */
const atOnce = 8

const fail = (text: string, actual?: unknown, cause?: unknown) =>
  new WengertError('ERR_DATA', `fromImageFolder: ${text}`, { actual, ...(cause !== undefined && { cause }) })

/** The images of each class: folders in the order of their names, and all files in and below each. */
async function filesOf(
  path: string,
  extensions: readonly string[],
): Promise<{ classes: string[]; files: [path: string, label: number][] }> {
  const entries = async (folder: string) => {
    try {
      const list = await readdir(folder, { withFileTypes: true })
      return list.filter(({ name }) => !name.startsWith('.')).sort((a, b) => (a.name < b.name ? -1 : 1))
    } catch (error) {
      throw new WengertError('ERR_FILE', `fromImageFolder: cannot read ${folder}: ${(error as Error).message}`, { cause: error })
    }
  }
  const within = async (folder: string): Promise<string[]> => {
    const found: string[] = []
    for (const entry of await entries(folder)) {
      if (entry.isDirectory()) found.push(...(await within(join(folder, entry.name))))
      else if (extensions.includes(extname(entry.name).toLowerCase())) found.push(join(folder, entry.name))
    }
    return found
  }
  const classes = (await entries(path)).filter((entry) => entry.isDirectory()).map(({ name }) => name)
  if (classes.length === 0) throw fail(`${path} holds no folders; the images of each class lie in a folder of its name`, path)
  const files: [string, number][] = []
  for (const [label, name] of classes.entries()) {
    const own = await within(join(path, name))
    if (own.length === 0) throw fail(`the folder ${name} holds no file that ends in ${listed(extensions, 20)}`, name)
    for (const file of own) files.push([file, label])
  }
  return { classes, files }
}

/** Errors: ERR_DATA, naming the file. */
async function decoded(file: string, decode: ImageFolderOptions['decode']): Promise<Pixels> {
  let image: unknown
  try {
    image = await decode(file)
  } catch (error) {
    throw fail(`decode failed on ${file}: ${(error as Error)?.message ?? error}`, file, error)
  }
  const { data, info } = (image ?? {}) as Partial<SharpPixels>
  const { width, height, channels } = (info ?? image ?? {}) as Partial<Pixels>
  const sizes = [height, width, channels]
  if (!(data instanceof Uint8Array) || !sizes.every((n) => Number.isInteger(n) && (n as number) > 0))
    throw fail(`decode gives { data: Uint8Array, width, height, channels }, not ${describe(image)}, for ${file}`, image)
  const size = (height as number) * (width as number) * (channels as number)
  if (data.length !== size)
    throw fail(`expected ${size} bytes for ${sizes.join(' × ')} of ${file}, got ${data.length}; decode to 8 bits a channel`, data.length)
  return { data, width: width as number, height: height as number, channels: channels as number }
}

/** What `Dataset.fromImageFolder` is made of. */
export async function readImageFolder(
  path: string,
  options: ImageFolderOptions,
): Promise<{ x: Tensor; y: Int32Array; classes: string[]; shard?: Shard }> {
  checkOptions('fromImageFolder', options, ['decode', 'transform', 'extensions', 'shard'])
  const { decode, transform, extensions = usual } = options ?? {}
  if (typeof path !== 'string' || path === '')
    throw new WengertError('ERR_VALUE', `fromImageFolder: path is the name of a folder, not ${describe(path)}`, { actual: path })
  if (typeof decode !== 'function')
    throw new WengertError(
      'ERR_OPTION',
      `fromImageFolder: decode is a function of a file's path, such as (path) => sharp(path).resize(32, 32).raw().toBuffer({ resolveWithObject: true }), not ${describe(decode)}`,
      { actual: decode },
    )
  if (transform !== undefined && typeof transform !== 'function')
    throw new WengertError('ERR_OPTION', `fromImageFolder: transform is an imageTransform, not ${describe(transform)}`, {
      actual: transform,
    })
  if (!Array.isArray(extensions) || !extensions.every((e) => typeof e === 'string' && e.startsWith('.') && e === e.toLowerCase()))
    throw new WengertError('ERR_OPTION', `fromImageFolder: extensions are like '.png', in lower case, not ${describe(extensions)}`, {
      actual: extensions,
    })
  const part = partOfOption('fromImageFolder', options.shard)
  const { classes, files: all } = await filesOf(path, extensions)
  const [from, to] = rangeOf(part, all.length)
  // Where a part has no file, the first one says what images are like.
  const files = to > from ? all.slice(from, to) : all.slice(0, 1)
  let first: Pixels | undefined
  let x: Tensor | undefined
  for (let i = 0; i < files.length; i += atOnce) {
    const part = files.slice(i, i + atOnce)
    const images = await Promise.all(part.map(([file]) => decoded(file, decode)))
    for (const [k, image] of images.entries()) {
      const { width, height, channels } = image
      first ??= image
      if (width !== first.width || height !== first.height || channels !== first.channels)
        throw fail(
          `expected images of ${first.height} × ${first.width} × ${first.channels} like ${files[0]?.[0]}, got ${height} × ${width} × ${channels} of ${part[k]?.[0]}; let decode resize them`,
          [height, width, channels],
        )
      const pixels = asTensor('fromImageFolder', image.data, { shape: [height, width, channels], dtype: 'float32' })
      const { shape, data } = transform ? transform(pixels) : pixels
      x ??= new Tensor([files.length, ...shape], 'float32', allocateShared('float32', files.length * data.length))
      x.data.set(data, (i + k) * data.length)
    }
  }
  const y = Int32Array.from(files, ([, label]) => label)
  if (part.size === 1) return { x: x as Tensor, y, classes }
  return { x: rowsBetween(x as Tensor, 0, to - from), y: y.subarray(0, to - from), classes, shard: { start: from, total: all.length } }
}
