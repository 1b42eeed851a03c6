/** How gradients and updates fare, parameter by parameter, and what is clearly wrong with them. */

import type { Module } from '../nn/module.js'
import { sizeOf } from '../util/shape.js'
import type { ParameterHealth } from './history.js'
import { healthEntries } from './parts.js'
import type { ParameterSlots } from './training-state.js'

/** From an epoch's sums. */
export function healthOf(
  report: Float64Array,
  at: number,
  trained: readonly ParameterSlots[],
  updates: number,
): Record<string, ParameterHealth> {
  return Object.fromEntries(
    trained.map(({ name, parameter }, i) => {
      const [gradients, steps, weights, zeros] = report.subarray(at + healthEntries * i, at + healthEntries * (i + 1)) as unknown as [
        number,
        number,
        number,
        number,
      ]
      return [
        name,
        {
          gradientNorm: Math.sqrt(gradients / updates),
          updateRatio: weights > 0 ? Math.sqrt(steps / weights) : steps > 0 ? Infinity : 0,
          zeroShare: zeros / (updates * Math.max(1, sizeOf(parameter.shape))),
        },
      ]
    }),
  )
}

/** `layers.0 (Linear 64 → 32)` for the layer that a parameter belongs to. */
function layerOf(model: Module, name: string): string {
  const path = name.split('.').slice(0, -1).join('.')
  const find = (module: Module, prefix: string): Module | undefined => {
    if (prefix === path) return module
    for (const [child, inner] of module.children()) {
      const next = prefix === '' ? child : `${prefix}.${child}`
      if (path === next || path.startsWith(`${next}.`)) return find(inner, next)
    }
    return undefined
  }
  const layer = find(model, '')
  return path === '' ? model.describe() : `${path}${layer ? ` (${layer.describe()})` : ''}`
}

/** A layer's gradient, per element, below this share of the largest layer's: it practically stands still. */
const vanishing = 1e-6
/** An update longer than the weights themselves. */
const exploding = 1
/** The share of a bias's gradients that is exactly 0 where nearly all units behind it are off. */
const dead = 0.95

/** Warns once of each kind and layer. */
export class HealthWatch {
  readonly #said = new Set<string>()
  #epochs = 0

  constructor(
    readonly model: Module,
    readonly trained: readonly ParameterSlots[],
  ) {}

  /** Looks at an epoch; the first of a fit is only a start. */
  look(health: Readonly<Record<string, ParameterHealth>>): void {
    if (this.#epochs++ < 1) return
    const matrices = this.trained.filter(({ parameter }) => parameter.rank >= 2)
    const perElement = ({ name, parameter }: ParameterSlots) => (health[name]?.gradientNorm ?? 0) / Math.sqrt(sizeOf(parameter.shape))
    const largest = Math.max(0, ...matrices.map(perElement))
    const stuck = new Set<string>()
    for (const { name, parameter } of this.trained) {
      const { zeroShare } = health[name] as ParameterHealth
      if (parameter.rank !== 1 || sizeOf(parameter.shape) < 2 || zeroShare < dead) continue
      const layer = layerOf(this.model, name)
      stuck.add(layer)
      this.#warn(
        'WENGERT_DEAD_UNITS',
        layer,
        `${layer}: ${(100 * zeroShare).toFixed(0)} % of its units' gradients are 0, as behind dead ReLUs; try a smaller learning rate, LeakyReLU, or He initialisation`,
      )
    }
    for (const entry of matrices) {
      const layer = layerOf(this.model, entry.name)
      const { gradientNorm, updateRatio } = health[entry.name] as ParameterHealth
      if (!stuck.has(layer) && perElement(entry) < vanishing * largest)
        this.#warn(
          'WENGERT_VANISHING_GRADIENT',
          layer,
          `${layer}: the gradient (norm ${gradientNorm.toPrecision(2)}) is less than ${vanishing} of the largest layer's; it hardly learns. Try ReLU, BatchNorm1d, Residual, or another initialisation`,
        )
      if (updateRatio > exploding)
        this.#warn(
          'WENGERT_EXPLODING_GRADIENT',
          layer,
          `${layer}: updates are ${updateRatio.toPrecision(2)} times as long as the weights (gradient norm ${gradientNorm.toPrecision(2)}); try a smaller learning rate or clipNorm`,
        )
    }
  }

  #warn(code: string, layer: string, text: string): void {
    const key = `${code} ${layer}`
    if (this.#said.has(key)) return
    this.#said.add(key)
    process.emitWarning(text, { type: 'WengertHealth', code })
  }
}
