import type { Backend } from '../backend.js'
import { WengertError } from '../../errors.js'
export function loadNativeBackend(): Backend { throw new WengertError('ERR_BACKEND', 'not built') }
