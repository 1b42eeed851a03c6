/** Whether a model draws random numbers. */

import * as augmentation from './augmentation.js'
import { Dropout, Dropout2d } from './dropout.js'
import type { Module } from './module.js'
import { isLibraryModule } from './registry.js'

const drawing = [Dropout, Dropout2d, ...Object.values(augmentation)]

/** Whether a model may draw in training: what layers of the library draw is known, any other may hold a generator. */
export const draws = (model: Module): boolean =>
  model.modules().some((module) => drawing.some((Type) => module instanceof Type) || !isLibraryModule(module))
