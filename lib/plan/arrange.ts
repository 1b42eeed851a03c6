/** From a graph that passes have done with to the calls to be, in their order. */

import { foldUpdates } from './fold-updates.js'
import { fuse } from './fuse.js'
import type { Graph } from './graph.js'
import { unifyGrids } from './grids.js'
import { keepGradientsPooled } from './pooled-gradients.js'
import { recompute } from './recompute.js'
import { joinRows } from './rowwise.js'
import { type Item, schedule } from './schedule.js'

/**
 * Keeps gradients pooled, folds updates, gives grids one shape, computes again what need not be kept, fuses, joins what goes along rows, and orders.
 * The graph is not used otherwise afterwards.
 */
export function arrange(graph: Graph): Item[] {
  keepGradientsPooled(graph)
  const accumulations = foldUpdates(graph)
  unifyGrids(graph)
  recompute(graph)
  return schedule(graph, joinRows(graph, fuse(graph)), accumulations)
}
