/** Prints as JSON what golden values are made of: the op table's samples, and the named functions of test/support. */

import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const load = async (path) => (await runnerImport(at(path), { logLevel: 'silent' })).module

const { elementwiseRows, opTable } = await load('lib/primitives/table.ts')
const { composites } = await load('test/support/composites.ts')
const pointwise = new Set(elementwiseRows.map((row) => row.name))
const plain = (input) => ('data' in input ? { shape: input.shape, dtype: input.dtype, values: Array.from(input.data) } : input)

const rows = opTable.map((row) => ({
  name: row.name,
  kind: row.kind,
  pointwise: pointwise.has(row.name),
  samples: row.samples().map(({ inputs, params = {} }) => ({ inputs: inputs.map(plain), params })),
}))
console.log(JSON.stringify({ rows, composites: composites.map(({ name, inputs }) => ({ name, inputs })) }))
