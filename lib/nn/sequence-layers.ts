/**
 * The files of layers over sequences, for the registry. In `wengert/web/predict` they are fetched with the first model that has
 * such a layer: a new file of them is a line here.
 */

export * as attention from './attention.js'
export * as positions from './positions.js'
export * as recurrent from './recurrent.js'
export * as sequenceHeads from './sequence-heads.js'
export * as transformer from './transformer.js'
