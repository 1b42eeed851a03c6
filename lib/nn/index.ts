/** Modules, as `nn.*`. */

export { type Initializer, type InitName, initializers } from './init.js'
export { Identity, Linear, type LinearOptions, ReLU, Sequential, Sigmoid, Softmax, Tanh } from './layers.js'
export { Module } from './module.js'
export { Parameter } from './parameter.js'
export { type ModuleClass, registerModule } from './registry.js'
