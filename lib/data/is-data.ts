/** What tells a data set from the features alone. */

import type { DataLike } from './dataset.js'

/** Whether a value has x and y. */
export const isData = (value: unknown): value is DataLike => typeof value === 'object' && value !== null && 'x' in value && 'y' in value
