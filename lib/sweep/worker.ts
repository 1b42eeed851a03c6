/** A worker thread of a sweep: trials of the module that it was made for. */

import { workerData } from 'node:worker_threads'
import { setThreads } from '../backend/select.js'
import type { SweepContext, SweepTrain } from './space.js'

// The trials share the processors: each takes one.
setThreads(1)

/** The pool hands its own data over first. */
const [, { file }] = workerData as [unknown, { file: string }]
const loaded = import(file) as Promise<{ default: SweepTrain<unknown> }>

export default async function trial({ config, context }: { config: unknown; context: SweepContext }): Promise<unknown> {
  const train = (await loaded).default
  if (typeof train !== 'function') throw new TypeError(`${file} has no function as its default export`)
  return train(config, context)
}
