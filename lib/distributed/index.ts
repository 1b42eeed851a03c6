/** The processes that train together, over MPI. */

export { allReduce, barrier, broadcast, gather } from './collectives.js'
export { finalize, type InitOptions, init } from './init.js'
export { host, rank, size } from './world.js'
