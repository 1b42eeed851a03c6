/** Stands for `lib/table/dayjs.ts` in the bundle of `wengert/web`, which has Day.js in it. */

import dayjs from 'dayjs'
import customParseFormat from 'dayjs/plugin/customParseFormat.js'
import utc from 'dayjs/plugin/utc.js'
import type { DayjsOfFormats } from '../table/dayjs.js'

export function dayjsOfFormats(): DayjsOfFormats {
  const whole = dayjs as unknown as DayjsOfFormats & { extend(plugin: unknown): void }
  whole.extend(customParseFormat)
  whole.extend(utc)
  return whole
}
