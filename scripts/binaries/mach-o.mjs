/** What a Mach-O file says of itself: its kind, processor, oldest system, libraries, and whether its signature fits its bytes. */
import { createHash } from 'node:crypto'

const processors = { 16777228: 'arm64', 16777223: 'x86_64' }
const kinds = { 2: 'executable', 6: 'library', 8: 'bundle' }
const version = (number) => `${number >>> 16}.${(number >>> 8) & 255}`

/** The pages whose hashes in the signature's code directory are not those of the file. */
function wrongPages(bytes, at) {
  const read = (offset) => bytes.readUInt32BE(at + offset)
  if (read(0) !== 0xfade0cc0) return ['no signature']
  const directories = Array.from({ length: read(8) }, (_, i) => read(12 + 8 * i + 4)).filter((offset) => read(offset) === 0xfade0c02)
  return directories.flatMap((directory) => {
    const field = (offset) => read(directory + offset)
    const [hashes, slots, limit] = [field(16), field(28), field(32)]
    const [size, type, page] = [36, 37, 39].map((offset) => bytes[at + directory + offset])
    const step = 2 ** page
    if (type !== 2) return [`hashes of kind ${type}`]
    return Array.from({ length: slots }, (_, i) => i).filter((i) => {
      const hash = createHash('sha256')
        .update(bytes.subarray(i * step, Math.min((i + 1) * step, limit)))
        .digest()
      const start = at + directory + hashes + i * size
      return !hash.subarray(0, size).equals(bytes.subarray(start, start + size))
    })
  })
}

export function machO(bytes) {
  if (bytes.readUInt32LE(0) !== 0xfeedfacf) throw new Error('no Mach-O file of 64 bits')
  const found = {
    processor: processors[bytes.readUInt32LE(4)],
    kind: kinds[bytes.readUInt32LE(12)],
    libraries: [],
    wrongPages: ['no signature'],
  }
  let at = 32
  for (let i = 0; i < bytes.readUInt32LE(16); i++) {
    const command = bytes.readUInt32LE(at)
    const word = (offset) => bytes.readUInt32LE(at + offset)
    if (command === 0x32) found.oldest = version(word(12)) // LC_BUILD_VERSION
    if (command === 0x0c)
      found.libraries.push(
        bytes
          .subarray(at + word(8), at + word(4))
          .toString()
          .replace(/\0.*$/s, ''),
      )
    if (command === 0x1d) found.wrongPages = wrongPages(bytes, word(8)) // LC_CODE_SIGNATURE
    at += word(4)
  }
  return found
}
