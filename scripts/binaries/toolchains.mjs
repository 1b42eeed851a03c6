/**
 * How each kind of binary is compiled and linked. A toolchain is given the target and gives
 *
 *   lines      of a CMake toolchain file
 *   settings   of CMake, beside
 *   compiler   of C++, and
 *   program    its arguments for a program that is linked like the binary
 *
 * and brings first what it takes that is not installed on the machine.
 */
import { darwin } from './darwin.mjs'
import { glibc } from './glibc.mjs'
import { musl } from './musl.mjs'
import { windows } from './windows.mjs'

export const toolchains = { glibc, musl, windows, darwin }
