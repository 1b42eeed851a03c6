/**
 * Stands in the package for asynchronous functions whose modules are read when they are called: most programs import the library without
 * them. To add one: a line here, and its module in scripts/package/node.mjs.
 */

import type * as folders from '../data/image-folder.js'
import type * as start from '../distributed/init.js'
import type * as records from '../io/csv-records.js'
import type * as shard from '../io/csv-shard.js'
import type * as source from '../io/table-source.js'
import type * as sweeps from '../sweep/sweep.js'
import type * as pages from '../train/report.js'

export const readImageFolder: typeof folders.readImageFolder = async (...given) =>
  (await import('../data/image-folder.js')).readImageFolder(...given)

export const init: typeof start.init = async (...given) => (await import('../distributed/init.js')).init(...given)
export const finalize: typeof start.finalize = async () => (await import('../distributed/init.js')).finalize()

export const scanned: typeof records.scanned = async function* (...given) {
  yield* (await import('../io/csv-records.js')).scanned(...given)
}
export const recordsOf: typeof records.recordsOf = async function* (...given) {
  yield* (await import('../io/csv-records.js')).recordsOf(...given)
}
export const readShard: typeof shard.readShard = async (...given) => (await import('../io/csv-shard.js')).readShard(...given)

export const readTable: typeof source.readTable = async (...given) => (await import('../io/table-source.js')).readTable(...given)
export const streamTable: typeof source.streamTable = async function* (...given) {
  yield* (await import('../io/table-source.js')).streamTable(...given)
}

export const sweep = (async (...given: Parameters<typeof sweeps.sweep>) =>
  (await import('../sweep/sweep.js')).sweep(...given)) as typeof sweeps.sweep

export const report: typeof pages.report = async (...given) => (await import('../train/report.js')).report(...given)
