/**
 * `node dist/examples/stream-anomalies.js`: anomaly scores in a stream. An LSTM learns to foretell the next reading of a pump's two sensors; in the
 * stream a stepper takes one reading at a time, and the error of what was foretold, in deviations of those on sound readings, is the score.
 */

import { backend, loss, MBSGD, nn, optim, Random, tensor } from 'wengert'
import { flagsOf, table } from './output.js'

const help = `Learns two sensors of a sound pump, then scores a stream with three faults, one reading at a time.

  node dist/examples/stream-anomalies.js
  node dist/examples/stream-anomalies.js --json    one line of JSON
`
const { json } = flagsOf('stream-anomalies', help)

/** Faults of the stream: where, how long, and what they do to a reading. */
const faults: readonly { name: string; at: number; length: number; change: (reading: [number, number], t: number) => [number, number] }[] =
  [
    { name: 'a spike', at: 400, length: 1, change: ([a, b]) => [a + 1.2, b] },
    { name: 'a stuck sensor', at: 800, length: 40, change: ([a]) => [a, 0.4] },
    { name: 'a slipping belt', at: 1200, length: 40, change: ([a, b], t) => [a * Math.cos(t / 4), b] },
  ]

/** n readings: vibration and pressure of one rhythm, pressure a little later. */
function readings(n: number, rng: Random, broken: boolean): Float32Array {
  const noise = rng.normal([n, 2]).data
  const out = new Float32Array(2 * n)
  for (let t = 0; t < n; t++) {
    const angle = (2 * Math.PI * t) / 25
    let pair: [number, number] = [Math.sin(angle) + 0.3 * Math.sin(3 * angle), 0.7 * Math.sin(angle - 0.8)]
    for (const { at, length, change } of broken ? faults : []) if (t >= at && t < at + length) pair = change(pair, t - at)
    out.set([pair[0] + 0.05 * (noise[2 * t] as number), pair[1] + 0.05 * (noise[2 * t + 1] as number)], 2 * t)
  }
  return out
}

const rng = new Random(1)
const sound = readings(2000, rng, false)
const steps = 50
const count = Math.floor((2000 - steps - 1) / 10)
const windows = (shift: number) =>
  tensor(
    Array.from({ length: count }, (_, i) => sound.slice(2 * (10 * i + shift), 2 * (10 * i + shift + steps))),
    { shape: [count, steps, 2] },
  )
const model = new nn.Sequential(new nn.LSTM(2, 32, { rng }), new nn.Linear(32, 2, { rng }))
const trainer = new MBSGD(model, { loss: loss.mse, optimizer: optim.adam({ learningRate: 0.01 }), batchSize: 32 })
const epochs = 15
const history = await trainer.fit({ x: windows(0), y: windows(1) }, { epochs, seed: 1 })

/** The error of each reading as it was foretold from those before. */
function errorsOf(stream: Float32Array): Float64Array {
  const stepper = model.stepper()
  const [reading, foretold] = [new Float32Array(2), new Float32Array(2)]
  return Float64Array.from({ length: stream.length / 2 }, (_, t) => {
    reading.set(stream.subarray(2 * t, 2 * t + 2))
    const error = Math.hypot((reading[0] as number) - (foretold[0] as number), (reading[1] as number) - (foretold[1] as number))
    stepper.stepInto(reading, foretold)
    return error
  })
}

// What sound readings give, without the first ones, when the stepper has seen too little.
const usual = errorsOf(readings(1000, rng, false)).slice(50)
const mean = usual.reduce((a, b) => a + b, 0) / usual.length
const deviation = Math.sqrt(usual.reduce((a, b) => a + (b - mean) ** 2, 0) / usual.length)
const stream = readings(1600, rng, true)
const start = performance.now()
const scores = errorsOf(stream).map((error) => (error - mean) / deviation)
const microseconds = (1000 * (performance.now() - start)) / scores.length

const limit = 6
// What follows a fault is still of it: the model has seen wrong readings.
const near = (t: number) => faults.some(({ at, length }) => t >= at && t < at + length + 50)
const found = faults.map(({ name, at, length }) => ({
  name,
  score: Math.max(...scores.slice(at, at + length)),
  after: scores.slice(at).findIndex((s) => s > limit),
}))
const falseAlarms = scores.reduce((n, score, t) => n + (t >= 50 && score > limit && !near(t) ? 1 : 0), 0)
if (json) console.log(JSON.stringify({ engine: backend().name, epochs, cost: history.last?.cost, found, falseAlarms, microseconds }))
else {
  const rows = found.map(({ name, score, after }) => [name, score.toFixed(1), String(after)])
  console.log(table([['fault', 'highest score', 'readings until the alarm'], ...rows]))
  console.log(`\nfalse alarms in ${scores.length} readings: ${falseAlarms}; ${microseconds.toFixed(1)} µs a reading on ${backend().name}`)
}
