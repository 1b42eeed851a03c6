/** `wengert inspect`: what a model file holds. */

import { loadModel } from '../index.js'
import { answered, type Flag, type Given, given, helpOf, Misuse, short } from './arguments.js'
import { readFlags, written } from './source.js'

const flags: Readonly<Record<string, Flag>> = { json: readFlags.json as Flag, help: readFlags.help as Flag }
const usage = 'wengert inspect <model> [--json]'

async function run(options: Given): Promise<number> {
  const [path, ...more] = options.positionals
  if (path === undefined || more.length > 0) throw new Misuse('which model? Give the path of one .wengert file')
  const model = await loadModel(path)
  const { table, threshold, temperature, metadata, classes = table?.classes } = model
  if (options.on('json')) {
    await written(
      `${JSON.stringify({
        task: table?.task,
        target: table?.target,
        classes,
        columns: table?.columns,
        features: table?.features,
        threshold,
        temperature,
        metadata,
        parameters: model.namedParameters().map(([name, { shape, dtype }]) => ({ name, shape, dtype })),
      })}\n`,
    )
    return 0
  }
  const parts = [
    table ? String(table) : 'saved without a table: it answers to tensors',
    ...(classes && !table ? [`classes: ${classes.slice(0, 20).join(', ')}${classes.length > 20 ? ', …' : ''}`] : []),
    ...(threshold === undefined ? [] : [`threshold ${short(threshold)} for ${classes?.at(-1)}`]),
    ...(temperature === undefined ? [] : [`temperature ${short(temperature)}`]),
    model.summary(),
    ...(Object.keys(metadata).length > 0 ? [`metadata ${JSON.stringify(metadata)}`] : []),
  ]
  await written(`${parts.join('\n\n')}\n`)
  return 0
}

export const inspect = (args: readonly string[]): Promise<number> =>
  answered('inspect', async () => {
    const options = given(args, flags)
    if (!options.on('help')) return run(options)
    await written(helpOf(usage, 'Prints the columns, the classes, the layers and the metadata of a model file.', flags))
    return 0
  })
