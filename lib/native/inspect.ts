/**
 * A look at a binary before the system's loader gets it. Of a file that was cut short (a full disk, an install that was
 * killed) Linux maps what its headers promise, and the process dies of SIGBUS where the file ends: no error can be caught then.
 * The loaders of macOS and Windows check this themselves.
 */

/** Processors by their number in ELF files. */
const machines = new Map([
  [3, 'ia32'],
  [40, 'arm'],
  [62, 'x64'],
  [183, 'arm64'],
  [243, 'riscv64'],
  [258, 'loong64'],
])

/** The largest place in the file that one of its segments to be loaded reaches, in bytes; the headers are little-endian of 64 bits. */
function reach(head: DataView): number {
  const start = Number(head.getBigUint64(32, true))
  const [size, count] = [head.getUint16(54, true), head.getUint16(56, true)]
  let most = start + size * count
  for (let i = 0; i < count && start + (i + 1) * size <= head.byteLength; i++) {
    const at = start + i * size
    const loaded = head.getUint32(at, true) === 1
    if (loaded) most = Math.max(most, Number(head.getBigUint64(at + 8, true) + head.getBigUint64(at + 32, true)))
  }
  return most
}

/** Why the file cannot be a whole binary for this processor, as far as its first kilobytes tell; undefined where nothing speaks against it. */
export function flaw(file: string): string | undefined {
  if (process.platform !== 'linux') return undefined
  const { closeSync, fstatSync, openSync, readSync } = process.getBuiltinModule('node:fs')
  const handle = openSync(file, 'r')
  try {
    const { size } = fstatSync(handle)
    const bytes = new Uint8Array(4096)
    const head = new DataView(bytes.buffer, 0, readSync(handle, bytes))
    if (head.byteLength < 64) return `cut short: ${size} bytes`
    if (head.getUint32(0) !== 0x7f454c46) return 'no ELF file'
    const wide = head.getUint8(4) === 2 && head.getUint8(5) === 1
    const machine = machines.get(head.getUint16(18, wide)) ?? 'another processor'
    if (machine !== process.arch && [...machines.values()].includes(process.arch)) return `built for ${machine}, this is ${process.arch}`
    const needed = wide ? reach(head) : 0
    return size < needed ? `cut short: ${size} bytes of ${needed} or more` : undefined
  } finally {
    closeSync(handle)
  }
}
