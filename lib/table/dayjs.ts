/** Day.js with what reading a format takes, loaded at the first call. */

import { createRequire } from 'node:module'
import type Dayjs from 'dayjs'

export type DayjsOfFormats = typeof Dayjs & { utc: (text: string, format: string, strict: true) => Dayjs.Dayjs }

export function dayjsOfFormats(): DayjsOfFormats {
  const require = createRequire(import.meta.url)
  const dayjs = require('dayjs') as DayjsOfFormats
  dayjs.extend(require('dayjs/plugin/customParseFormat.js'))
  dayjs.extend(require('dayjs/plugin/utc.js'))
  return dayjs
}
