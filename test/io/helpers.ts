/** What the tests of files share: a folder of their own, codes of rejections, mutations of bytes. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { errorCodes } from '../../lib/errors.js'
import { purposes, Stream } from '../../lib/util/random.js'

/** A folder that goes when the file's tests are done. */
export function folder(): (name: string) => string {
  const path = mkdtempSync(join(tmpdir(), 'wengert-io-'))
  afterAll(() => rmSync(path, { recursive: true, force: true }))
  return (name) => join(path, name)
}

/** The code and message of what a promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise
  } catch (error) {
    const { code = 'none', message } = error as { code?: string; message: string }
    return { code, message }
  }
  return { code: 'nothing', message: '' }
}

export const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, 'base64'))

const tokens = [
  '0',
  '-1',
  '9999999999999',
  '1e999',
  '"',
  ',',
  '\n',
  '{',
  '}',
  '[',
  ']',
  ':',
  '\0',
  '\u00ff',
  'null',
  'true',
  '__proto__',
  "'",
  '(',
  ')',
  '\r',
  'NaN',
  '0x10',
  '\ufeff',
]

/** One to four random changes: bits, bytes, words, pieces removed, repeated or moved, telling tokens put in. */
export function mutate(bytes: Uint8Array, stream: Stream): Uint8Array {
  let out = Buffer.from(bytes)
  // The headers are where the meaning is.
  const place = () => stream.bounded(Math.max(1, stream.bounded(2) === 0 ? Math.min(out.length, 600) : out.length))
  for (let n = 1 + stream.bounded(4); n > 0; n--) {
    const at = place()
    const length = 1 + stream.bounded(16)
    switch (stream.bounded(7)) {
      case 0:
        if (at < out.length) out[at] = (out[at] as number) ^ (1 << stream.bounded(8))
        break
      case 1:
        if (at < out.length) out[at] = stream.bounded(256)
        break
      case 2:
        out = out.subarray(0, at) as typeof out
        break
      case 3:
        out = Buffer.concat([out.subarray(0, at), out.subarray(at + length)])
        break
      case 4:
        out = Buffer.concat([out.subarray(0, at), out.subarray(at, at + length), out.subarray(at)])
        break
      case 5:
        out = Buffer.concat([out.subarray(0, at), Buffer.from(tokens[stream.bounded(tokens.length)] as string), out.subarray(at)])
        break
      default: {
        // A number in the text becomes another.
        const digits = /\d+/g
        const text = out.toString('latin1')
        digits.lastIndex = at
        const match = digits.exec(text)
        const number = tokens[stream.bounded(4)] as string
        if (match) out = Buffer.from(text.slice(0, match.index) + number + text.slice(match.index + match[0].length), 'latin1')
      }
    }
  }
  return new Uint8Array(out)
}

/** How many mutations of each file are tried: 10,000 with WENGERT_FUZZ=10000. */
export const fuzzRounds = Number(process.env.WENGERT_FUZZ ?? 400)

/** Runs a reader on mutations of valid files: it gives a value or a coded error. Returns how often it refused. */
export async function fuzz(files: readonly Uint8Array[], read: (bytes: Uint8Array) => unknown): Promise<number> {
  let refused = 0
  for (let round = 0; round < fuzzRounds; round++) {
    const stream = new Stream({ seed: 11, purpose: purposes.user, a: round, b: 0 })
    const bytes = mutate(files[round % files.length] as Uint8Array, stream)
    try {
      await read(bytes)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === undefined || !(code in errorCodes)) {
        throw new Error(`round ${round}: ${String(error)}\n${Buffer.from(bytes).toString('latin1').slice(0, 400)}`, { cause: error })
      }
      expect((error as Error).message.length).toBeLessThan(4000)
      refused++
    }
  }
  return refused
}
