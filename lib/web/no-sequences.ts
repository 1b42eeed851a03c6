/** Stands for the layers over sequences in the bundle of `wengert/web/predict`, which fetches them with a model that has one. */

export {}
