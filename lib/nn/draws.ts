/** Whether a model draws random numbers. */

import { Dropout } from './dropout.js'
import type { Module } from './module.js'
import { isLibraryModule } from './registry.js'

/** Whether a model may draw in training: what layers of the library draw is known, any other may hold a generator. */
export const draws = (model: Module): boolean => model.modules().some((module) => module instanceof Dropout || !isLibraryModule(module))
