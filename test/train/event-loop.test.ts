import { expect, test } from 'vitest'
import { eventLoopDuring, fitOfW4 } from '../../bench/event-loop.js'
import { backend } from '../../lib/index.js'

const { name, reason } = backend()
if (name !== 'native') console.warn(`skipped: the event loop during a fit: the JavaScript engine runs on the main thread (${reason})`)

// The figure is the bench's (bench/event-loop.ts). The bound here is for machines that do other things meanwhile: a fit on
// the main thread would hold the loop up for its whole length, some hundred milliseconds at least.
test.skipIf(name !== 'native')(
  `the event loop turns while a fit runs${name === 'native' ? '' : ' (skipped: no native engine)'}`,
  async () => {
    const { excess, seconds, turns } = await eventLoopDuring(fitOfW4(20), 0.5)
    expect(excess.p99).toBeLessThan(50)
    expect(turns).toBeGreaterThan(seconds * 20)
  },
)
