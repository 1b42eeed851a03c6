/**
 * Functions with a derivative of their own: `customGradient` states it, `checkpoint` computes it from the arguments again. Both
 * close the function first (see `closed.ts`), so that derivatives reach what it closes over, in every transform and order.
 */

import { WengertError } from '../errors.js'
import { optimizationBarrier } from '../primitives/barrier.js'
import { add } from '../primitives/elementwise.js'
import { type Aval, apply, below, type GeneralPrimitive, tracing } from '../primitives/primitive.js'
import { asTensor, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { type Closed, close, type Maybe, pullThrough, pushThrough, replay, sameTensors } from './closed.js'

/** A user's rule: the value, and the cotangents of the arguments given that of the value. */
export type CustomRule<A extends readonly Tensor[] = readonly Tensor[]> = (
  ...args: A
) => [value: Tensor, pullback: (g: Tensor) => Tensor | readonly (Tensor | undefined)[]]

const zerosLike = (x: Tensor): Tensor => zeros(x.shape, { dtype: x.dtype })

/** A primitive whose value is that of a closed function. */
function primitiveOf(name: string, { graph, ground, outputs }: Closed, rules: Pick<GeneralPrimitive, 'jvp' | 'vjp'>): GeneralPrimitive {
  const [value] = outputs as [Tensor]
  return {
    kind: 'general',
    name,
    doc: 'a function with a derivative of its own',
    infer: (): Aval => value,
    lower: () => {
      throw new WengertError('ERR_PROGRAM', `${name}: expected to be evaluated, not lowered`)
    },
    samples: () => [],
    evaluate: (inputs) => (sameTensors(inputs, ground) ? value : (replay(graph, inputs)[0] as Tensor)),
    ...rules,
  }
}

function checkFunction(op: string, f: unknown): void {
  if (typeof f !== 'function')
    throw new WengertError('ERR_VALUE', `${op}: expected a function, got ${describe(f)}`, { expected: 'a function', actual: f })
}

/** Arguments as tensors; numbers take the type of the floating tensors beside them. */
function tensors(op: string, given: readonly unknown[]): Tensor[] {
  const dtype = given.find((x): x is Tensor => x instanceof Tensor && isFloat(x.dtype))?.dtype ?? 'float32'
  return given.map((x) => {
    if (x instanceof Tensor) return x.resolve()
    if (typeof x === 'number') return asTensor(op, x, { dtype })
    throw new WengertError('ERR_VALUE', `${op}: expected tensors as arguments, got ${describe(x)}`, { actual: x })
  })
}

/**
 * A function with a derivative rule of its own.
 *
 * The rule holds for the arguments. What the function closes over (a parameter, a tensor of an outer `grad`) is differentiated
 * as usual, through the value. Forward mode takes its tangent from the transpose of the pullback, which must be linear in `g`.
 *
 * @param rule gives the value and its pullback: g ↦ the cotangents of the arguments, undefined for 0
 * @throws ERR_VALUE where the rule or an argument is of another kind; ERR_SHAPE for as many cotangents as there are no arguments
 * @example
 * const clipped = customGradient((x) => [x, (g) => g.clip(-1, 1)])
 */
export function customGradient<A extends readonly Tensor[]>(rule: CustomRule<A>): (...args: A) => Tensor {
  const op = 'customGradient'
  checkFunction(op, rule)
  return (...given) => {
    const args = tensors(op, given)
    if (!tracing()) return checkedRule(rule, args)[0]
    let pullback: ReturnType<CustomRule>[1] = () => []
    const closed = close(
      op,
      (...inner) => {
        const [value, back] = checkedRule(rule, inner)
        pullback = back
        return [value]
      },
      args,
    )
    const own = args.length
    const { graph } = closed

    /** The pullback as a closed function of g; a sequence of cotangents, one for each argument. */
    const closePullback = (g: Tensor) => {
      let missing: boolean[] = []
      const back = close(
        op,
        (seed) => {
          const cotangents = cotangentsOf(pullback(seed as Tensor), own)
          missing = cotangents.map((c) => c === undefined)
          return cotangents.filter((c) => c !== undefined)
        },
        [g],
        true,
      )
      return { back, missing }
    }
    /** What the closed pullback captured, below `level`: intermediate values of the function are made from its inputs. */
    const capturedBelow = (back: Closed, inputs: readonly Tensor[], level: number): Tensor[] => {
      const captured = back.inputs.slice(1)
      const inner = captured.map((x) => closed.stepOf(x))
      const made = replay(
        { steps: graph.steps, outputs: inner.filter((step) => step !== undefined) },
        inputs,
        sameTensors(inputs, closed.ground) ? closed.values : [],
      )
      let next = 0
      return captured.map((x, i) => {
        if (inner[i] !== undefined) return made[next++] as Tensor
        // What the value reads too is an operand, which may have another value now: in a loop each iteration has its own.
        const operand = closed.inputs.indexOf(x)
        return operand >= own ? (inputs[operand] as Tensor) : below(x, level)
      })
    }

    return apply(
      primitiveOf('custom', closed, {
        jvp: (tangents, { inputs, output, level = 0 }) => {
          const [mine, captured] = [tangents.slice(0, own), tangents.map((t, i) => (i < own ? undefined : t))]
          let total: Maybe
          if (mine.some((t) => t !== undefined)) {
            // The pullback is linear in g: its own pullback, at any g, maps tangents forward.
            const { back, missing } = closePullback(zerosLike(output))
            const present = missing.flatMap((none, i) => (none ? [] : [i]))
            const at = [zerosLike(output), ...capturedBelow(back, inputs, level)]
            const seeds = present.map((i) => mine[i] ?? zerosLike(inputs[i] as Tensor))
            ;[total] = pullThrough(
              back.graph,
              at,
              seeds,
              at.map((_, i) => i === 0),
            )
          }
          if (captured.some((t) => t !== undefined)) {
            const [t] = pushThrough(graph, inputs, captured)
            total = total && t ? add(total, t) : (total ?? t)
          }
          return total
        },
        vjp: (g, { inputs, level = 0 }, wanted) => {
          const result: Maybe[] = wanted.map(() => undefined)
          if (wanted.slice(0, own).includes(true)) {
            const { back, missing } = closePullback(g)
            const at = [g, ...capturedBelow(back, inputs, level)]
            const found = sameTensors(at, back.ground) ? back.outputs : replay(back.graph, at)
            let next = 0
            missing.forEach((none, i) => {
              if (!none) result[i] = found[next++]
            })
          }
          const outer = wanted.map((yes, i) => yes && i >= own)
          if (outer.includes(true)) {
            pullThrough(graph, inputs, [g], outer).forEach((c, i) => {
              if (c) result[i] = c
            })
          }
          return result
        },
      }),
      closed.inputs,
      {},
    )
  }
}

function checkedRule<A extends readonly Tensor[]>(rule: CustomRule<A>, args: readonly Tensor[]): ReturnType<CustomRule> {
  const result: unknown = rule(...(args as unknown as A))
  if (!Array.isArray(result) || !(result[0] instanceof Tensor) || typeof result[1] !== 'function')
    throw new WengertError('ERR_VALUE', `customGradient: the rule must return [value, pullback], got ${describe(result)}`, {
      expected: '[Tensor, function]',
      actual: result,
    })
  return result as ReturnType<CustomRule>
}

/** The cotangents that a pullback gave, one for each argument. */
function cotangentsOf(result: unknown, args: number): Maybe[] {
  const list = Array.isArray(result) ? (result as unknown[]) : [result]
  if (list.length > args || list.some((c) => c !== undefined && !(c instanceof Tensor)))
    throw new WengertError(
      'ERR_VALUE',
      `customGradient: the pullback must give a tensor or undefined for each of ${args} arguments, got ${describe(result)}`,
      { expected: args, actual: result },
    )
  return Array.from({ length: args }, (_, i) => (list[i] as Maybe)?.resolve())
}

/**
 * The same function, but its intermediates are computed again in the backward pass instead of being kept: less memory,
 * one more evaluation. `remat` in other libraries; it writes no files.
 *
 * The function itself runs once: what is computed again is what it did, with the same random numbers. In a program the
 * recomputation waits for the backward pass.
 *
 * @throws ERR_VALUE where `f` is no function, or gives anything but a tensor
 * @example
 * const deep = checkpoint((x: Tensor) => x.sin().exp().sin().exp())
 */
export function checkpoint<A extends readonly Tensor[]>(f: (...args: A) => Tensor): (...args: A) => Tensor {
  const op = 'checkpoint'
  checkFunction(op, f)
  return (...given) => {
    const args = tensors(op, given)
    if (!tracing()) return f(...(args as unknown as A))
    // The values of the steps are let go with what `close` gives.
    const { graph, inputs: outside, ground, outputs } = close(op, (...inner) => [f(...(inner as unknown as A))], args)
    const closed: Closed = { graph, inputs: outside, ground, outputs, values: [], stepOf: () => undefined }
    return apply(
      primitiveOf(op, closed, {
        jvp: (tangents, { inputs }) => pushThrough(graph, inputs, tangents)[0],
        vjp: (g, { inputs }, wanted) =>
          pullThrough(
            graph,
            inputs.map((x) => optimizationBarrier(x, g)),
            [g],
            wanted,
          ),
      }),
      outside,
      {},
    )
  }
}
