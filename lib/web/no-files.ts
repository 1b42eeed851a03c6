/** Stands for the files of `lib/io/` in the bundle of `wengert/web`. */

import type * as folder from '../data/image-folder.js'
import { WengertError } from '../errors.js'
import type * as atomic from '../io/atomic.js'
import type * as read from '../io/read-file.js'

const refused = (where: string): never => {
  throw new WengertError('ERR_FILE', `${where}: a browser has no files; models, arrays and weights come from bytes and become bytes here`)
}

export const checkPath: typeof atomic.checkPath = (where) => refused(where)
export const checkWritable: typeof atomic.checkWritable = async (where) => refused(where)
export const writeAtomic: typeof atomic.writeAtomic = async (_path, _parts, { where = 'writeAtomic' } = {}) => refused(where)
export const fileError: typeof atomic.fileError = (where) => refused(where)
export const readBytes: typeof read.readBytes = async (where) => refused(where)
export const readImageFolder: typeof folder.readImageFolder = async () => refused('fromImageFolder')
export const naming: typeof read.naming = (_path, decode) => decode()
