/** Stands for the layers that `wengert/web/predict` fetches with a model that has one: see layers-later.ts. */

export {}
