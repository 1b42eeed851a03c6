/**
 * Joins the compiled modules of `wengert/web` and `wengert/web/predict` for where there is no Node: dist/lib/web.js, web/predict.js
 * and what they share. Modules of the library that need Node have stand-ins, named here; so have Node's globals (lib/web/host.ts).
 * A module of Node that is left over is an error.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

/** By path in lib/, without extension: what stands for a module, and for whom where not for all. */
const shared = {
  'backend/native/engine': { by: 'web/no-binary' },
  'io/atomic': { by: 'web/no-files' },
  'io/read-file': { by: 'web/no-files' },
  'data/image-folder': { by: 'web/no-files' },
  'io/model-table': { by: 'web/tables-later', except: 'web/tables' },
  'data/records': { by: 'web/tables-later', except: 'web/tables' },
  'table/dayjs': { by: 'web/dayjs' },
}
/** For each entry. To predict takes no programs: they are two fifths of the whole. */
export const standIns = {
  web: shared,
  'web/predict': {
    ...shared,
    'backend/js/engine': { by: 'web/eager-engine' },
    'data/shards': { by: 'web/no-data', except: 'data/dataset' },
    'data/transform-data': { by: 'web/no-data' },
    'primitives/spatial-methods': { by: 'web/no-methods', except: 'web/images' },
    'nn/network-svg': { by: 'web/no-drawing' },
    'nn/image-layers': { by: 'web/no-layers', except: 'web/images' },
    'nn/stepper': { by: 'web/stepper-later', except: 'web/sequences' },
    'nn/sequence-layers': { by: 'web/no-layers', except: 'web/sequences' },
    'backend/js/kernels/collective': { by: 'web/no-plan-kernels' },
    'backend/js/kernels/convolution-pooled': { by: 'web/no-plan-kernels' },
    'backend/js/kernels/rowwise': { by: 'web/no-plan-kernels' },
    'plan/plan': { by: 'web/no-plans' },
    'plan/state-layout': { by: 'web/no-plans' },
  },
}
/** Modules that are imported for what they do. */
const sideEffects = new Set(['primitives/methods'])
/** Brought by whoever draws tapes: a page finds it by its own means. */
const external = ['@viz-js/viz']

/** A module by its path in lib/, as the tables above name it. */
const plain = (path, lib) =>
  path
    ?.slice(lib.length + 1)
    .replaceAll('\\', '/')
    .replace(/\.[jt]s$/, '')

/** Dependencies are found wherever the modules lie, and none is left out. */
export const whole = {
  checks: { bundlerTimings: false },
  resolve: { extensionAlias: { '.js': ['.js', '.ts'] }, modules: [fileURLToPath(new URL('../../node_modules', import.meta.url))] },
  onLog(level, log, next) {
    if (log.code === 'UNRESOLVED_IMPORT') throw new Error(log.message)
    next(level, log)
  },
}

/** Gathers in `found` the modules that an entry imports, at once and not later. */
export const importedBy = (entry, found) => ({
  name: 'imported',
  buildEnd() {
    const visit = (id) => {
      if (found.has(id)) return
      found.add(id)
      for (const next of this.getModuleInfo(id)?.importedIds ?? []) visit(next)
    }
    visit(entry)
  },
})

/** Puts stand-ins in the place of modules, by a table of the kind above; `check` sees each import first. */
export const replacing = (table, lib, extension = '.js', check = () => {}) => ({
  name: 'stand-ins',
  async resolveId(source, importer, options) {
    check(source, importer)
    if (!source.startsWith('.')) return null
    const found = await this.resolve(source, importer, { ...options, skipSelf: true })
    const instead = table[plain(found?.id, lib)]
    return instead && instead.except !== plain(importer, lib) ? join(lib, `${instead.by}${extension}`) : found
  },
})

/** One entry, whole: what it shares with the other is small beside what bundles of both would carry for each other. */
async function bundleEntry(name, lib, to, extension) {
  const host = join(lib, 'web', `host${extension}`)
  /** What the entry imports, fetched at once: one file, for the sake of its size, whatever of it is shared with what comes later. */
  const first = new Set()
  const build = await rolldown({
    input: { [name]: join(lib, `${name}${extension}`) },
    platform: 'browser',
    ...whole,
    external,
    treeshake: { moduleSideEffects: (id) => sideEffects.has(plain(id, lib)) },
    transform: { inject: Object.fromEntries(['process', 'setImmediate', 'SharedArrayBuffer'].map((one) => [one, [host, one]])) },
    plugins: [
      replacing(standIns[name], lib, extension, (source, importer) => {
        if (source.startsWith('node:'))
          throw new Error(`${plain(importer, lib)} imports ${source}: give it a stand-in, or fetch it when it is used`)
      }),
      importedBy(join(lib, `${name}${extension}`), first),
    ],
  })
  const minify = { compress: true, mangle: { keepNames: { function: false, class: true } }, codegen: { removeWhitespace: true } }
  const chunkFileNames = ({ isDynamicEntry }) => `${name}-${isDynamicEntry ? 'more' : 'core'}.js`
  const { output } = await build.write({
    dir: to,
    format: 'esm',
    minify,
    chunkFileNames,
    codeSplitting: { groups: [{ name: 'core', test: (id) => first.has(id) }] },
  })
  await build.close()
  return output
}

/** Writes the bundles of the modules in `lib`, compiled or as they are written ('.ts'), to the folder `to`; gives their files. */
export async function bundleWeb(lib, to, extension = '.js') {
  const outputs = []
  for (const name of Object.keys(standIns)) outputs.push(...(await bundleEntry(name, lib, to, extension)))
  return outputs
}
