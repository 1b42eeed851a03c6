/**
 * Functions with a derivative of their own: `customGradient` states it, `checkpoint` computes it from the arguments again. Both
 * close the function first (see `closed.ts`), so that derivatives reach what it closes over, in every transform and order.
 */

import { WengertError } from '../errors.js'
import { behindBarrier, optimizationBarrier } from '../primitives/barrier.js'
import { elements } from '../primitives/elements.js'
import { add } from '../primitives/elementwise.js'
import { Abstract, type Aval, apply, below, type GeneralPrimitive, tracing } from '../primitives/primitive.js'
import { Tuple } from '../primitives/tuple.js'
import { asTensor, zeros } from '../tensor/creation.js'
import { Tensor } from '../tensor/tensor.js'
import { isFloat } from '../util/dtype.js'
import { describe } from '../util/options.js'
import { checkFunction, leaves, refill } from './arguments.js'
import { type Closed, close, type Maybe, pullThrough, pushThrough, replay, sameTensors } from './closed.js'
import { numbersIn, tensorsIn } from './scan.js'
import { replayMapped } from './vmap-trace.js'

/** A user's rule: the value, and the cotangents of the arguments given that of the value. */
export type CustomRule<A extends readonly Tensor[] = readonly Tensor[]> = (
  ...args: A
) => [value: Tensor, pullback: (g: Tensor) => Tensor | readonly (Tensor | undefined)[]]

const zerosLike = (x: Tensor): Tensor => zeros(x.shape, { dtype: x.dtype })

/** What a primitive has that is evaluated as a closed function. */
const unlowered = (name: string): Pick<GeneralPrimitive, 'kind' | 'name' | 'doc' | 'lower' | 'samples'> => ({
  kind: 'general',
  name,
  doc: 'a function with a derivative of its own',
  lower: () => {
    throw new WengertError('ERR_PROGRAM', `${name}: cannot stand in a program as it is: it is evaluated`)
  },
  samples: () => [],
})

/** A primitive whose value is that of a closed function. */
function primitiveOf({ graph, ground, outputs }: Closed, rules: Pick<GeneralPrimitive, 'jvp' | 'vjp'>): GeneralPrimitive {
  const [value] = outputs as [Tensor]
  return {
    ...unlowered('custom'),
    infer: (): Aval => value,
    evaluate: (inputs) => (sameTensors(inputs, ground) ? value : (replay(graph, inputs)[0] as Tensor)),
    ...rules,
  }
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
      primitiveOf(closed, {
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
 * Arguments and result are tensors, numbers or trees of them. The function itself runs once: what is computed again is what it did,
 * with the same random numbers. In a program the recomputation waits for the backward pass.
 *
 * @throws ERR_VALUE where `f` is no function, or gives no tensor
 * @example
 * const deep = checkpoint((x: Tensor) => x.sin().exp().sin().exp())
 * const last = scan(checkpoint((h: Tensor, x: Tensor) => [h.mul(x).tanh(), x]), h0, xs)[0]
 */
export function checkpoint<A extends readonly Tensor[], const R>(f: (...args: A) => R): (...args: A) => R
export function checkpoint<A extends readonly unknown[], const R>(f: (...args: A) => R): (...args: A) => R
export function checkpoint(f: unknown): unknown {
  const op = 'checkpoint'
  const body = checkFunction(op, f)
  return (...given: unknown[]) => {
    const dtype = numbersIn(given)
    const args = given.map((x) => tensorsIn(op, x, dtype))
    let tree: unknown
    const results = (...inner: Tensor[]): Tensor[] => {
      tree = tensorsIn(op, body(...(refill(args, inner) as unknown[])), dtype)
      const found = leaves(tree)
      if (found.length === 0)
        throw new WengertError('ERR_VALUE', `checkpoint: the function must return a tensor or a tree of them, got ${describe(tree)}`, {
          actual: tree,
        })
      return found
    }
    if (!tracing()) {
      results(...leaves(args))
      return tree
    }
    const made = rerun(close(op, results, leaves(args))) // gives the tree, too
    return refill(tree, made)
  }
}

/** The results of a closed function that is computed again for its derivatives; the values of its steps are let go with `closed`. */
function rerun({ graph, inputs, ground, outputs }: Closed): Tensor[] {
  const value = apply(rematerialised({ graph, ground, outputs }), inputs, {})
  return outputs.length === 1 ? [value] : elements(value, outputs.length)
}

/** Evaluates a graph so that a loop whose body it is in keeps none of its steps for the loop back. */
const replayHeld = (graph: Closed['graph'], inputs: readonly Tensor[]): Tensor[] =>
  replay(
    graph,
    inputs.map((x) => optimizationBarrier(x)),
  ).map(behindBarrier)

/** A function whose derivatives evaluate it again. */
function rematerialised({ graph, ground, outputs }: Pick<Closed, 'graph' | 'ground' | 'outputs'>): GeneralPrimitive {
  const joined = (list: readonly Maybe[]) => (outputs.length === 1 ? (list[0] as Tensor) : new Tuple(list))
  return {
    ...unlowered('checkpoint'),
    infer: () => joined(outputs.map(({ shape, dtype }) => new Abstract(shape, dtype))),
    evaluate: (inputs) => joined(sameTensors(inputs, ground) ? outputs : replayHeld(graph, inputs)),
    jvp: (tangents, { inputs }) => joined(pushThrough(graph, inputs, tangents)),
    vjp: (g, { inputs }, wanted) => {
      const given = g instanceof Tuple ? g.parts : [g]
      const seeds = given.filter((x) => x !== undefined)
      return pullThrough(
        { ...graph, outputs: graph.outputs.filter((_, i) => given[i]) },
        inputs.map((x) => optimizationBarrier(x, ...seeds)),
        seeds,
        wanted,
      )
    },
    batch: ({ inputs, mapped, size }) => {
      const samples = close('checkpoint', (...inner) => replayMapped(graph, inner, mapped, size), inputs, true)
      return joined(rerun(samples))
    },
  }
}
