/**
 * Every kernel of OpenBLAS that a binary holds and the processor can run: products by a program of its own, which `npm run binaries`
 * leaves beside the binary, and by the addon. A release of OpenBLAS whose kernels are wrong, or write past their stack, ends here.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './stage.mjs'

/** The cores in a release binary by the least instruction set that they take; with the names that the plainest goes by. */
const cores = {
  x64: [
    { isa: 'baseline', names: ['Prescott', 'Katmai', 'Coppermine', 'Northwood', 'Banias', 'Core2', 'Penryn'] },
    { isa: 'avx2', names: ['Haswell'] },
    { isa: 'avx512', names: ['SkylakeX'] },
  ],
  arm64: [
    { isa: 'baseline', names: ['armv8'] },
    { isa: 'baseline', names: ['neoversen1'] },
  ],
  'darwin-arm64': [{ isa: 'baseline', names: ['VORTEX'] }], // for every Mac with Arm the same, whatever the environment says
}
const order = ['baseline', 'avx2', 'avx512']

/** The cores that can be chosen here; `isa` is what the addon found the processor to have. */
export const coresFor = (platform, arch, isa) =>
  (cores[`${platform}-${arch}`] ?? cores[arch]).filter((one) => order.indexOf(one.isa) <= order.indexOf(isa))

/** The environment in which a core is taken, whatever the processor. */
export const forced = ({ names }) => ({ OPENBLAS_CORETYPE: names[0] })

/** The program of a target, where it was built on this machine. */
export function programOf(target) {
  const path = join(root, '.cache', 'binaries', `kernels-${target}`)
  return [path, `${path}.exe`].find(existsSync)
}

export const addonScript = join(root, 'scripts', 'package', 'kernels-addon.mjs')
