/** Optimisers, as `optim.*`. */

export { type AdamOptions, adam, adamW } from './adam.js'
export { type AdagradOptions, adagrad, type RmsPropOptions, rmsProp } from './adaptive.js'
export { type AppliedOptimizer, type ApplyOptions, applicable } from './apply.js'
export { type GradientDescentOptions, gradientDescent } from './gradient-descent.js'
export type { CommonOptions, ParameterGroup } from './groups.js'
export { type DescentProgress, type DescentSchedule, type MinimizeOptions, minimize, type Path } from './minimize.js'
export type { Optimizer, OptimizerSlot, Progress, Schedule } from './optimizer.js'
/** The learning rate of each update. */
export * as schedules from './schedules.js'
