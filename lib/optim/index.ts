/** Optimisers, as `optim.*`. */

export { type GradientDescentOptions, gradientDescent } from './gradient-descent.js'
export type { Optimizer, OptimizerSlot, Progress, Schedule } from './optimizer.js'
