/** The kernels of this engine by name. */

import type { KernelName } from '../../program.js'
import { attention, attentionGrad } from './attention.js'
import { allReduce } from './collective.js'
import { conv, convInput, convWeight, maxPool, poolPut, poolTake } from './convolution.js'
import { convInputPooled, convWeightPooled } from './convolution-pooled.js'
import { random } from './draws.js'
import { dropout } from './dropout.js'
import { elementwise } from './elementwise.js'
import { gather, oneHot, putAlong, scatterAdd, takeAlong, toIndex } from './indexing.js'
import type { Prepare } from './kernel.js'
import { matmul } from './matmul.js'
import { concat, copy } from './movement.js'
import { accumulate, all, any, argmax, argmin, cumsum, max, min, prod, sum } from './reduce.js'
import { rowwise } from './rowwise.js'
import { logSoftmax, logSumExp, softmax, softmaxCrossEntropy, softmaxCrossEntropyGrad } from './softmax.js'
import { argsort } from './sort.js'

export const registry: Readonly<Record<KernelName, Prepare>> = {
  elementwise,
  matmul,
  sum,
  prod,
  max,
  min,
  any,
  all,
  argmax,
  argmin,
  cumsum,
  softmax,
  logSoftmax,
  logSumExp,
  copy,
  concat,
  gather,
  scatterAdd,
  takeAlong,
  putAlong,
  oneHot,
  softmaxCrossEntropy,
  softmaxCrossEntropyGrad,
  accumulate,
  dropout,
  toIndex,
  random,
  conv,
  convInput,
  convWeight,
  maxPool,
  poolTake,
  poolPut,
  argsort,
  allReduce,
  convInputPooled,
  convWeightPooled,
  attention,
  attentionGrad,
  rowwise,
}
