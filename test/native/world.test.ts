/** Several processes where there is no MPI: on Windows never, elsewhere where its library is not to be had. The process stays alone. */

import { afterEach, expect, test, vi } from 'vitest'
import { onNative } from './native.js'

onNative('a world without MPI', () => {
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.resetModules()
  })

  test('is refused with the reason, and the process stays alone', async () => {
    vi.resetModules()
    const distributed = await import('../../lib/distributed/index.js')
    for (const name of ['PMIX_RANK', 'PMI_SIZE', 'SLURM_STEP_NUM_TASKS']) vi.stubEnv(name, undefined)
    vi.stubEnv('OMPI_COMM_WORLD_SIZE', '2')
    vi.stubEnv('WENGERT_MPI', '/nowhere/libmpi.so.40')
    const says = process.platform === 'win32' ? /Linux and macOS.*Windows/ : /could not be loaded \(.*nowhere.*\); install Open MPI/
    await expect(distributed.init()).rejects.toMatchObject({ code: 'ERR_DISTRIBUTED', message: expect.stringMatching(says) })
    expect(distributed.size).toBe(1)
  })

  test('outside of a launcher there is one rank', async () => {
    vi.resetModules()
    const distributed = await import('../../lib/distributed/index.js')
    for (const name of ['OMPI_COMM_WORLD_SIZE', 'PMIX_RANK', 'PMI_SIZE', 'SLURM_STEP_NUM_TASKS']) vi.stubEnv(name, undefined)
    await distributed.init()
    expect([distributed.rank, distributed.size]).toEqual([0, 1])
  })
})
