/** What a release binary must be: readable by old C libraries, closed but for the two functions that Node looks for, small. */
import { readFileSync, statSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { fail, run } from './common.mjs'

const most = { glibc: [2, 28], bytes: 6e6 }
const exported = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']
const compare = ([a, b], [c, d]) => a - c || b - d

/** Checks one file and gives what was found, for the report. */
export function check(name, file, target) {
  const table = run(target.tools.objdump, ['-T', file]).split('\n')
  const wanted = table.flatMap((line) => [...line.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, a, b]) => [Number(a), Number(b)]))
  const floor = wanted.sort(compare).at(-1) ?? [0, 0]
  const open = table.filter((line) => / g +D[FO] /.test(line) && !line.includes('*UND*')).map((line) => line.trim().split(/\s+/).at(-1))
  const dynamic = run(target.tools.objdump, ['-p', file])
  const needs = [...dynamic.matchAll(/NEEDED +(\S+)/g)].map(([, library]) => library)
  const bytes = statSync(file).size
  if (compare(floor, most.glibc) > 0) fail(`${name}: expected to need glibc ${most.glibc.join('.')} at most, got ${floor.join('.')}`)
  if (open.sort().join() !== exported.join()) fail(`${name}: expected the exports ${exported.join(', ')}, got ${open.join(', ')}`)
  if (needs.some((library) => /stdc\+\+|gcc|blas|gfortran/.test(library)))
    fail(`${name}: expected nothing but the C library, got ${needs.join(', ')}`)
  if (bytes > most.bytes) fail(`${name}: expected ${most.bytes / 1e6} MB at most, got ${(bytes / 1e6).toFixed(1)}`)
  const packed = gzipSync(readFileSync(file), { level: 9 }).length
  return { glibc: floor.join('.'), needs, megabytes: Number((bytes / 1e6).toFixed(2)), packed: Number((packed / 1e6).toFixed(2)) }
}
