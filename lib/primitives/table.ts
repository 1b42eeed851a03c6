/** The op table: every primitive row. Tests, docs and tools walk it; nothing else needs to know the names. */

import { attentionRows } from './attention.js'
import { barrierRows } from './barrier.js'
import { broadcastRows } from './broadcast.js'
import { collectiveRows } from './collective.js'
import { convolutionRows } from './convolution.js'
import { pooledRows } from './convolution-pooled.js'
import { dropoutRows } from './dropout.js'
import * as elementwise from './elementwise.js'
import { indexingRows } from './indexing.js'
import { linalgRows } from './linalg.js'
import { movementRows } from './movement.js'
import { partRows } from './parts.js'
import { type RowName, rowOf } from './pointwise.js'
import { poolingRows } from './pooling.js'
import type { Primitive } from './primitive.js'
import { randomRows } from './random.js'
import { reduceRows } from './reduce.js'
import { softmaxRows } from './softmax.js'
import { sortRows } from './sort.js'

/** The functions of elementwise rows by name: each micro-operation that may have a row has one. */
const pointwise: Record<RowName, object> = elementwise

/** Every elementwise row. */
export const elementwiseRows: readonly Primitive[] = Object.values(pointwise).map((op) => rowOf(op) as Primitive)

/** Every row. */
export const opTable: readonly Primitive[] = [
  ...elementwiseRows,
  ...movementRows,
  ...partRows,
  ...barrierRows,
  ...broadcastRows,
  ...reduceRows,
  ...linalgRows,
  ...indexingRows,
  ...softmaxRows,
  ...attentionRows,
  ...sortRows,
  ...dropoutRows,
  ...randomRows,
  ...convolutionRows,
  ...poolingRows,
  ...collectiveRows,
  ...pooledRows,
]
