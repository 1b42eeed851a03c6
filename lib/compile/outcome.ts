/** The tree that a compiled function returns, put together anew at each call. */

import type { Tensor } from '../tensor/tensor.js'

/** What a result is made of, of each call. */
export type Outcome =
  | { readonly kind: 'tensor'; readonly result: number }
  /** A number that was an argument. */
  | { readonly kind: 'number'; readonly leaf: number }
  | { readonly kind: 'constant'; readonly value: unknown }
  | { readonly kind: 'list'; readonly items: readonly Outcome[] }
  | { readonly kind: 'object'; readonly keys: readonly string[]; readonly items: readonly Outcome[] }

/** The tree of one call's results and numbers. */
export function rebuild(outcome: Outcome, tensors: readonly Tensor[], numbers: readonly number[]): unknown {
  switch (outcome.kind) {
    case 'tensor':
      return tensors[outcome.result]
    case 'number':
      return numbers[outcome.leaf]
    case 'constant':
      return outcome.value
    case 'list': {
      const { items } = outcome
      const list: unknown[] = new Array(items.length)
      for (let i = 0; i < items.length; i++) list[i] = rebuild(items[i] as Outcome, tensors, numbers)
      return list
    }
    case 'object': {
      const { keys, items } = outcome
      const object: Record<string, unknown> = {}
      for (let i = 0; i < keys.length; i++) object[keys[i] as string] = rebuild(items[i] as Outcome, tensors, numbers)
      return object
    }
  }
}
