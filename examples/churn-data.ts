/**
 * Customers of an imaginary service, drawn at random but always the same for a seed: numbers, categories, dates, a text,
 * identifiers, 5 % missing, a rare class, a column that gives the answer away, and a plan that only the latest customers have.
 */

import { Random } from 'wengert'

/** One customer; null where a value is missing. */
export type Customer = Record<string, string | number | null>

const plans = ['free', 'basic', 'pro'] as const
const regions = ['north', 'south', 'east', 'west'] as const
const topics = ['billing question', 'slow loading pages', 'password reset', 'refund wanted now', 'feature request', 'thank you'] as const

/**
 * `count` customers in the order in which they joined.
 *
 * @param options.leak whether the column `refund_paid` is there, which is known only after a customer has left
 */
export function* customers(count: number, options: { seed?: number; leak?: boolean } = {}): Generator<Customer> {
  const { seed = 1, leak = true } = options
  const rng = new Random(seed)
  const size = 1024
  for (let from = 0; from < count; from += size) {
    const u = rng.uniform([size, 16], 0, 1).data
    const z = rng.normal([size, 6]).data
    for (let i = 0; i < Math.min(size, count - from); i++)
      yield customer(
        from + i,
        count,
        leak,
        (k) => u[i * 16 + k] as number,
        (k) => z[i * 6 + k] as number,
      )
  }
}

function customer(i: number, count: number, leak: boolean, u: (k: number) => number, z: (k: number) => number): Customer {
  const day = Math.floor((i / count) * 720)
  const joined = new Date(Date.UTC(2024, 0, 1 + day))
  // The last tenth knows a plan that the others do not.
  const plan = i > 0.9 * count && u(0) < 0.2 ? 'enterprise' : (plans[Math.floor(u(1) * 3)] as string)
  const region = regions[Math.floor(u(2) ** 1.5 * 4)] as string
  const city = Math.floor(200 * u(3) ** 2.5)
  const age = Math.round(18 + 50 * u(4))
  const spend = Math.round(100 * Math.exp(3 + 0.8 * z(0) + (plan === 'pro' ? 0.6 : plan === 'free' ? -1.2 : 0))) / 100
  const active = Math.max(0, Math.round(14 + 8 * z(1)))
  const tickets = Math.max(0, Math.floor(-1.4 * Math.log(1 - 0.999 * u(5))))
  const topic = tickets === 0 ? 5 : Math.floor(u(6) * 5)
  const score =
    -3.7 +
    0.55 * tickets -
    0.14 * (active - 14) +
    (plan === 'free' ? 0.7 : plan === 'pro' ? -0.5 : 0) +
    0.9 * Math.sin(city) +
    (topic === 3 ? 1.1 : 0) +
    (age < 35 === active > 14 ? 0.8 : -0.8) +
    0.5 * Math.cos((2 * Math.PI * day) / 365) -
    0.25 * Math.log(spend)
  const churned = u(7) < 1 / (1 + Math.exp(-score))
  const known = <T>(k: number, value: T): T | null => (u(k) < 0.05 ? null : value)
  return {
    customer_id: `C-${100_000 + i}`,
    joined: joined.toISOString().slice(0, 10),
    plan: known(8, plan),
    region: known(9, region),
    city: known(10, `city ${city}`),
    age: known(11, age),
    monthly_spend: known(12, spend),
    active_days: known(13, active),
    tickets,
    last_ticket: known(14, `${topics[topic]} from customer number ${i} about ${tickets} open tickets`),
    newsletter: u(15) < 0.4 ? 'yes' : 'no',
    ...(leak && { refund_paid: churned ? Math.round(spend * 40) / 100 : 0 }),
    churned: churned ? 'yes' : 'no',
  }
}

/** The customers as the lines of a CSV, the names first. */
export function* csvLines(records: Iterable<Customer>): Generator<string> {
  let first = true
  for (const record of records) {
    if (first) yield `${Object.keys(record).join(',')}\n`
    first = false
    yield `${Object.values(record)
      .map((value) => (value === null ? '' : value))
      .join(',')}\n`
  }
}
