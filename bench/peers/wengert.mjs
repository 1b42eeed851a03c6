/** The library itself, as in the bench, and in the same way as its peers. */

import { contestants, network, stream, trainerOf } from '../../dist/bench/contestants.js'
import { setBackend, setThreads, tensor } from '../../dist/lib/index.js'
import { measure } from './task.mjs'

setBackend('native')
setThreads(Number(process.env.WENGERT_THREADS ?? 1))

await measure(
  (task) => {
    const model = network(task)
    const trainer = trainerOf(task, model, task.variant)
    const contestant = contestants(task, task.variant, true)[0]
    const { inputs, perTarget, loss } = task
    const sample = task.image ?? [inputs]
    const out = new Float32Array(task.outputs)
    let checking = true
    return {
      async update(from, count) {
        if (checking) {
          for (let i = from; i < from + count; i++) {
            const [a, b] = task.rows(i)
            const y = task.y.slice(a * perTarget, b * perTarget)
            trainer.step(
              tensor(task.x.slice(a * inputs, b * inputs), { shape: [b - a, ...sample] }),
              tensor(y, { shape: loss === 'crossEntropy' ? [b - a] : [b - a, perTarget] }),
            )
          }
          return undefined
        }
        const { updates, seconds } = await contestant.run(count)
        return (seconds * count) / updates
      },
      predict(x, rows) {
        if (rows === 1) {
          model.predictInto(x, out)
          return out
        }
        checking = false
        return model.predict(tensor(x, { shape: [rows, ...sample] })).data
      },
      async fit(count) {
        for (let i = 0; i < count; i++) await contestant.run(1)
      },
      stream: (count) => trainer.fitStream(stream(task, { x: task.x, y: task.y, samples: task.samples }, count)),
    }
  },
  { stages: true },
)
