/**
 * `node dist/examples/hourly-load.js`: forecasts of the electricity that a town uses. A year of hourly load is generated (days, weeks,
 * seasons, weather); a GRU reads two days and forecasts the hour a day ahead of their end, beside the same hour of the day before.
 */

import { backend, loss, MBSGD, nn, optim, Random, tensor } from 'wengert'
import { flagsOf, table } from './output.js'

const help = `Trains a GRU on windows of a generated year of hourly load and compares it with the seasonal-naive forecast.

  node dist/examples/hourly-load.js
  node dist/examples/hourly-load.js --json    one line of JSON
`
const [hours, window, ahead] = [365 * 24, 48, 24]

/** Load in MW: the hour, the day of the week, the season, and weather that lasts for days. */
function year(rng: Random): Float64Array {
  const noise = rng.normal([2, hours]).data
  const load = new Float64Array(hours)
  let weather = 0
  for (let t = 0; t < hours; t++) {
    const [hour, day] = [t % 24, Math.floor(t / 24)]
    weather = 0.98 * weather + 0.2 * (noise[t] as number)
    const weekend = day % 7 > 4 ? 1 : 0
    const morning = (1 - 0.6 * weekend) * Math.exp(-0.5 * ((hour - 8.5 - weekend) / 2) ** 2)
    const evening = Math.exp(-0.5 * ((hour - 19) / 2.5) ** 2)
    const season = 1 + 0.2 * Math.cos((2 * Math.PI * day) / 365)
    load[t] = season * (40 + 18 * morning + 22 * evening - 5 * weekend) + 3 * weather + 0.8 * (noise[hours + t] as number)
  }
  return load
}

/** Windows that end before hour t, each hour with the load, the time of the day and whether the target's day is one of work. */
function windows(load: Float64Array, ends: readonly number[], mean: number, deviation: number) {
  const x = new Float32Array(ends.length * window * 4)
  const y = new Float32Array(ends.length)
  ends.forEach((end, i) => {
    for (let k = 0; k < window; k++) {
      const t = end - window + k
      const weekend = Math.floor((t + ahead) / 24) % 7 > 4 ? 1 : 0
      const angle = (2 * Math.PI * t) / 24
      x.set([((load[t] as number) - mean) / deviation, Math.sin(angle), Math.cos(angle), weekend], (i * window + k) * 4)
    }
    y[i] = ((load[end - 1 + ahead] as number) - mean) / deviation
  })
  return { x: tensor(x, { shape: [ends.length, window, 4] }), y: tensor(y, { shape: [ends.length, 1] }) }
}

const { json } = flagsOf('hourly-load', help)
const load = year(new Random(7))
const every = (from: number, to: number, step: number) => Array.from({ length: Math.floor((to - from) / step) }, (_, i) => from + i * step)
// Ten months to learn from, two to be judged by.
const [learned, held] = [every(window, 300 * 24, 5), every(302 * 24 + window, hours - ahead, 3)]
const known = load.slice(0, 300 * 24)
const mean = known.reduce((a, b) => a + b, 0) / known.length
const deviation = Math.sqrt(known.reduce((a, b) => a + (b - mean) ** 2, 0) / known.length)

const rng = new Random(1)
const model = new nn.Sequential(new nn.GRU(4, 16, { rng }), new nn.LastStep(), new nn.Linear(16, 1, { rng }))
const epochs = 12
const trainer = new MBSGD(model, {
  loss: loss.huber,
  optimizer: optim.adam({ learningRate: 0.01 }),
  schedule: optim.schedules.cosine({ total: epochs, per: 'epoch' }),
  batchSize: 32,
})
const history = await trainer.fit(windows(load, learned, mean, deviation), { epochs, seed: 1 })

const test = windows(load, held, mean, deviation)
const forecast = model.predict(test.x).data
const errors = held.map((end, i) => {
  const truth = load[end - 1 + ahead] as number
  return {
    model: Math.abs(mean + deviation * (forecast[i] as number) - truth),
    day: Math.abs((load[end - 1] as number) - truth),
    week: Math.abs((load[end - 1 + ahead - 168] as number) - truth),
  }
})
const mae = (name: 'model' | 'day' | 'week') => errors.reduce((sum, one) => sum + one[name], 0) / errors.length
const scores = { model: mae('model'), sameHourYesterday: mae('day'), sameHourLastWeek: mae('week') }
if (json)
  console.log(
    JSON.stringify({
      engine: backend().name,
      epochs,
      cost: history.last?.cost,
      ...scores,
      skill: 1 - scores.model / scores.sameHourLastWeek,
    }),
  )
else {
  console.log(model.summary())
  const rows = [
    ['forecast, a day ahead', 'mean error'],
    ['GRU over two days', `${scores.model.toFixed(2)} MW`],
    ['the same hour a day before', `${scores.sameHourYesterday.toFixed(2)} MW`],
    ['the same hour a week before', `${scores.sameHourLastWeek.toFixed(2)} MW`],
  ]
  console.log(`\n${table(rows)}\n\n${history.seconds.toFixed(1)} s on ${backend().name}`)
}
