/** The op table: every primitive row. Tests, docs and tools walk it; nothing else needs to know the names. */

import { barrierRows } from './barrier.js'
import { broadcastRows } from './broadcast.js'
import { convolutionRows } from './convolution.js'
import { dropoutRows } from './dropout.js'
import { elementwiseRows } from './elementwise.js'
import { indexingRows } from './indexing.js'
import { linalgRows } from './linalg.js'
import { movementRows } from './movement.js'
import { poolingRows } from './pooling.js'
import type { Primitive } from './primitive.js'
import { randomRows } from './random.js'
import { reduceRows } from './reduce.js'
import { softmaxRows } from './softmax.js'
import { sortRows } from './sort.js'

export const opTable: readonly Primitive[] = [
  ...elementwiseRows,
  ...movementRows,
  ...barrierRows,
  ...broadcastRows,
  ...reduceRows,
  ...linalgRows,
  ...indexingRows,
  ...softmaxRows,
  ...sortRows,
  ...dropoutRows,
  ...randomRows,
  ...convolutionRows,
  ...poolingRows,
]
