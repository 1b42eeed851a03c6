/** Layers over sequences, and steppers through them: fetched by `bringLayers` for models that have them. */

export * as layers from '../nn/sequence-layers.js'
export { makeStepper } from '../nn/stepper.js'
