/** Images as decoders give them, bytes row by row with a pixel's channels together, as layers take them: numbers, channels first. */

import { WengertError } from '../errors.js'
import { asTensor, type TensorLike } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { checkNumber, checkOptions, describe } from '../util/options.js'
import { sizeOf } from '../util/shape.js'
import type { DataLike } from './dataset.js'
import { isData } from './is-data.js'
import { define, numbers, sampleShape, type Transform, type TransformJSON } from './transform-rule.js'

/** How pixels become numbers. */
export interface ImageScaling {
  /** What pixels are multiplied by; 1/255 by default, which brings bytes to 0 … 1. */
  scale?: number | undefined
  /** Subtracted from each channel after scaling; one number, or one for each channel; 0 by default. */
  mean?: number | readonly number[] | undefined
  /** What each channel is divided by at last; > 0; 1 by default. */
  std?: number | readonly number[] | undefined
}

/** Of `imageTransform`. */
export interface ImageOptions extends ImageScaling {
  height: number
  width: number
  /** 1 for grey, 3 for colour, 4 with transparency; 3 by default. */
  channels?: number | undefined
}

/** One number for each channel. Errors: ERR_OPTION, ERR_RANGE. */
function each(name: string, value: unknown, channels: number, exclusive: boolean): number[] {
  const range = exclusive ? { min: 0, exclusive } : {}
  if (!Array.isArray(value)) return new Array(channels).fill(checkNumber('imageTransform', name, value, range))
  if (value.length !== channels)
    throw new WengertError(
      'ERR_OPTION',
      `imageTransform: ${name} is one number or one for each of ${channels} channels, not ${describe(value)}`,
      {
        actual: value,
      },
    )
  return value.map((v) => checkNumber('imageTransform', name, v, range))
}

/**
 * Bytes of images, `Uint8Array`s [height, width, channels] as `sharp(…).raw()` gives them, as float32 [channels, height, width]:
 * y = (scale · x − mean) / std of each channel. Called on the bytes of one image, on a list of them, on tensors [m, height, width,
 * channels], or on a data set of such rows. `inverse` goes back to pixels. `saveModel` keeps it, like every transform.
 *
 * @throws ERR_OPTION, ERR_RANGE; when called ERR_SHAPE for images of another size, ERR_DATA
 * @example
 * const toInput = imageTransform({ height: 32, width: 32, mean: [0.49, 0.48, 0.45], std: [0.25, 0.24, 0.26] })
 * model.predict(toInput(await sharp('cat.jpg').resize(32, 32).removeAlpha().raw().toBuffer()))
 */
export function imageTransform(options: ImageOptions): Transform {
  const where = 'imageTransform'
  checkOptions(where, options, ['height', 'width', 'channels', 'scale', 'mean', 'std'])
  const count = (name: string, value: unknown) => checkNumber(where, name, value, { integer: true, min: 1 })
  const [height, width] = [count('height', options?.height), count('width', options?.width)]
  const channels = count('channels', options.channels ?? 3)
  const scale = checkNumber(where, 'scale', options.scale ?? 1 / 255, { min: 0, exclusive: true })
  const mean = each('mean', options.mean ?? 0, channels, false)
  const std = each('std', options.std ?? 1, channels, true)
  const cells = height * width
  const shape = [height, width, channels]
  const rule = define({
    kind: 'image',
    input: shape,
    output: [channels, height, width],
    forward: (from, at, to, position) => {
      for (let c = 0; c < channels; c++)
        for (let i = 0; i < cells; i++)
          to[position + c * cells + i] = ((from[at + i * channels + c] as number) * scale - (mean[c] as number)) / (std[c] as number)
    },
    backward: (from, at, to, position) => {
      for (let c = 0; c < channels; c++)
        for (let i = 0; i < cells; i++)
          to[position + i * channels + c] = ((from[at + c * cells + i] as number) * (std[c] as number) + (mean[c] as number)) / scale
    },
    json: { shape, scale, mean, std },
  })
  /** Rows of bytes with the axes of images. */
  const shaped = (values: unknown): Tensor => {
    const t = values instanceof Tensor ? values : asTensor(where, values)
    const rank = t.rank
    const flat = (rank === 1 || rank === 2) && t.shape[rank - 1] === sizeOf(shape)
    return flat ? t.reshape([...t.shape.slice(0, -1), ...shape]) : t
  }
  const call = (values: unknown) =>
    isData(values) ? rule({ ...values, x: shaped(values.x) } as DataLike) : rule(shaped(values) as TensorLike)
  return Object.assign(call as Transform, { kind: 'image', inverse: rule.inverse, toJSON: rule.toJSON })
}

/** Reads back what the `toJSON` of an image's transform gave. Errors: ERR_VALUE. */
export function imageFromJSON(json: TransformJSON): Transform {
  const shape = sampleShape(json)
  const [height, width, channels] = shape as [number, number, number]
  if (shape.length !== 3 || !Number.isFinite(json.scale))
    throw new WengertError('ERR_VALUE', `transform: expected the shape of an image and its scale, got ${describe(json)}`, { actual: json })
  try {
    const [mean, std] = [numbers(json, 'mean', channels), numbers(json, 'std', channels)]
    return imageTransform({ height, width, channels, scale: json.scale as number, mean, std })
  } catch (error) {
    if (error instanceof WengertError && error.code === 'ERR_VALUE') throw error
    throw new WengertError('ERR_VALUE', `transform: expected an image's transform, got ${describe(json)}`, { actual: json, cause: error })
  }
}
