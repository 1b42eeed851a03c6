/**
 * The arguments of a compiled function: their *form* (trees, shapes, types, static values) is what a program is made for, their
 * *leaves* are what it reads at each call. "Is it of the same form?" is answered in one walk that collects the leaves on its way
 * and builds nothing, since every call asks.
 */

import { WengertError } from '../errors.js'
import { Bindable } from '../primitives/binding.js'
import { Abstract, Traced } from '../primitives/primitive.js'
import { Tensor } from '../tensor/tensor.js'
import { type Dtype, dtypeOf, isDetached, type TypedArray } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { type Shape, sizeOf } from '../util/shape.js'
import { isPlainObject } from '../util/tree.js'

/** What arguments look like. */
export type Form =
  | { readonly kind: 'tensor'; readonly shape: Shape; readonly dtype: Dtype; readonly size: number }
  | { readonly kind: 'array'; readonly dtype: Dtype; readonly size: number }
  | { readonly kind: 'number' }
  /** A value that belongs to the form. */
  | { readonly kind: 'static'; readonly value: unknown }
  | { readonly kind: 'list'; readonly items: readonly Form[] }
  | { readonly kind: 'object'; readonly keys: readonly string[]; readonly items: readonly Form[] }

/** What one call brings: the arrays of tensors and the numbers, in order. */
export interface Leaves {
  readonly tensors: Tensor[]
  readonly arrays: TypedArray[]
  readonly numbers: number[]
}

/** Whether int32 holds a number, which then stays an integer beside integers. */
export const isInteger = (x: number): boolean => Number.isInteger(x) && Math.abs(x) < 2147483648

/** Whether a tensor can only be handed on: one that is watched, or recorded over. */
export const isOpaque = (x: Tensor): boolean => x instanceof Traced || x instanceof Abstract

/** Collects the leaves of `value` where it is of this form. Errors: ERR_DETACHED. */
export function collect(form: Form, value: unknown, into: Leaves): boolean {
  switch (form.kind) {
    case 'tensor': {
      if (!(value instanceof Tensor) || value.dtype !== form.dtype || value instanceof Bindable) return false
      const { shape } = value
      if (shape !== form.shape) {
        if (shape.length !== form.shape.length) return false
        for (let i = 0; i < shape.length; i++) if (shape[i] !== form.shape[i]) return false
      }
      if (isOpaque(value)) return false
      const { data } = value
      if (data.length !== form.size) refuseDetached(data)
      into.tensors.push(value)
      into.arrays.push(data)
      return true
    }
    case 'array':
      if (!ArrayBuffer.isView(value) || dtypeOf(value) !== form.dtype || (value as TypedArray).length !== form.size) return false
      if (form.size === 0 && isDetached(value)) refuseDetached(value)
      into.arrays.push(value as TypedArray)
      return true
    case 'number':
      if (typeof value !== 'number') return false
      into.numbers.push(value)
      return true
    case 'static':
      return Object.is(value, form.value)
    case 'list': {
      const { items } = form
      if (!Array.isArray(value) || value.length !== items.length) return false
      for (let i = 0; i < items.length; i++) if (!collect(items[i] as Form, value[i], into)) return false
      return true
    }
    case 'object': {
      if (!isPlainObject(value)) return false
      const { keys, items } = form
      let n = 0
      for (const key in value) {
        if (key !== keys[n] || !collect(items[n] as Form, value[key], into)) return false
        n++
      }
      return n === keys.length
    }
  }
}

function refuseDetached(data: ArrayBufferView): never {
  throw isDetached(data)
    ? new WengertError('ERR_DETACHED', 'compile: the buffer of an argument was transferred away: transfer a copy of it instead')
    : new WengertError('ERR_SHAPE', 'compile: the array of an argument does not hold the elements of its shape')
}

/** The form of one argument. Errors: ERR_VALUE for what is neither leaf nor tree, naming its place. */
export function formOf(value: unknown, isStatic: boolean, place: string): Form {
  if (value instanceof Bindable && !isStatic) return { kind: 'static', value }
  if (value instanceof Tensor) {
    if (isStatic)
      throw new WengertError(
        'ERR_VALUE',
        `compile: ${place} is static but holds a tensor, whose values may change: take it out of static, or pass numbers`,
        { actual: value },
      )
    const { shape, dtype } = value
    return { kind: 'tensor', shape: [...shape], dtype, size: sizeOf(shape) }
  }
  if (Array.isArray(value)) return { kind: 'list', items: value.map((item, i) => formOf(item, isStatic, `${place}[${i}]`)) }
  if (isPlainObject(value)) {
    const keys: string[] = []
    for (const key in value) keys.push(key)
    return { kind: 'object', keys, items: keys.map((key) => formOf(value[key], isStatic, `${place}.${key}`)) }
  }
  if (typeof value === 'symbol') throw notTaken(value, place)
  if (isStatic || value === null || (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'number'))
    return { kind: 'static', value }
  if (typeof value === 'number') return { kind: 'number' }
  const dtype = dtypeOf(value)
  if (dtype !== undefined && dtype !== 'bool') {
    if (isDetached(value as TypedArray)) refuseDetached(value as TypedArray)
    return { kind: 'array', dtype, size: (value as TypedArray).length }
  }
  throw notTaken(value, place)
}

const notTaken = (value: unknown, place: string) =>
  new WengertError(
    'ERR_VALUE',
    `compile: ${place} is ${describe(value)}: arguments are tensors, numbers, float and int32 arrays, and arrays and plain objects of them; anything else belongs to the program: name its position in static`,
    { expected: 'a tensor, a number or a tree of them', actual: value },
  )

const names = new WeakMap<object, number>()
let named = 0

function nameOf(value: object): string {
  let id = names.get(value)
  if (id === undefined) {
    id = ++named
    names.set(value, id)
  }
  return `${value.constructor?.name || 'object'}#${id}`
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'object' && value !== null) return nameOf(value)
  if (typeof value === 'function') return `${value.name || 'function'} ${nameOf(value)}`
  return Object.is(value, -0) ? '-0' : typeof value === 'bigint' ? `${value}n` : String(value)
}

/** A form as text: equal texts are equal forms. */
export function keyOf(form: Form): string {
  switch (form.kind) {
    case 'tensor':
      return `${form.dtype} [${form.shape.join(', ')}]`
    case 'array':
      return `${form.dtype} array of ${form.size}`
    case 'number':
      return 'number'
    case 'static':
      return `= ${textOf(form.value)}`
    case 'list':
      return `[${form.items.map(keyOf).join(', ')}]`
    case 'object':
      return `{${form.keys.map((key, i) => `${JSON.stringify(key)}: ${keyOf(form.items[i] as Form)}`).join(', ')}}`
  }
}

/** The tree of a form, its leaves replaced in order. */
export function treeOf(form: Form, replace: { tensor: () => unknown; number: () => unknown }): unknown {
  switch (form.kind) {
    case 'tensor':
    case 'array':
      return replace.tensor()
    case 'number':
      return replace.number()
    case 'static':
      return form.value
    case 'list':
      return form.items.map((item) => treeOf(item, replace))
    case 'object':
      return Object.fromEntries(form.keys.map((key, i) => [key, treeOf(form.items[i] as Form, replace)]))
  }
}

/** The leaves of a form, in order. */
export function leafForms(form: Form): (Form & { kind: 'tensor' | 'array' | 'number' })[] {
  switch (form.kind) {
    case 'tensor':
    case 'array':
    case 'number':
      return [form]
    case 'static':
      return []
    default:
      return form.items.flatMap(leafForms)
  }
}

/** Whether any tensor of a tree can only be handed on. */
export function holdsOpaque(value: unknown): boolean {
  if (value instanceof Tensor) return isOpaque(value instanceof Bindable ? value.resolve() : value)
  if (Array.isArray(value)) return value.some(holdsOpaque)
  return isPlainObject(value) && Object.values(value).some(holdsOpaque)
}

/** Where the leaves of donated arguments are: among the arrays and among the tensors of a call. Errors: ERR_VALUE for a parameter. */
export function donorsOf(form: Form, donate: readonly number[]): { arrays: number[]; tensors: number[] } {
  const found = { arrays: [] as number[], tensors: [] as number[] }
  if (donate.length === 0 || form.kind !== 'list') return found
  let arrays = 0
  let tensors = 0
  form.items.forEach((item, position) => {
    const donated = donate.includes(position)
    if (donated && holdsParameter(item))
      throw new WengertError(
        'ERR_VALUE',
        `compile: argument ${position} is donated but holds a parameter, whose memory belongs to its module`,
      )
    for (const { kind } of leafForms(item)) {
      if (kind === 'number') continue
      if (donated) found.arrays.push(arrays)
      if (donated && kind === 'tensor') found.tensors.push(tensors)
      arrays++
      if (kind === 'tensor') tensors++
    }
  })
  return found
}

const holdsParameter = (form: Form): boolean =>
  form.kind === 'static' ? form.value instanceof Bindable : 'items' in form && form.items.some(holdsParameter)
