/**
 * Writes docs/troubleshooting.md: what to do about installs and crashes, from the text below, and about each coded error, from
 * `errorCodes` of lib/errors.ts. A test holds the file to what this prints. Runs on the compiled library:
 *
 *   npm run build:ts && node scripts/troubleshooting.mjs
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const head = `# Troubleshooting

\`npx wengert doctor\` says what the library found on this machine: platform, C library, processor, which binary was tried and what came of
it, and whether both engines learn. Start there, and put its output into a report of a fault.

## Which engine runs

\`backend()\` names it, and gives the \`reason\` where it is not the native one. The JavaScript engine computes the same, more slowly.

| what you see | what it means | what to do |
|---|---|---|
| one warning, "the native engine could not be loaded" | no binary of the package fits this machine, or it did not load | the warning ends with the attempts; \`npx wengert doctor\` explains them |
| \`GLIBC_2.xx not found\` among the attempts | the C library is older than the binary takes: \`npx wengert doctor\` names both | a newer system, or a build from source |
| \`@wengert/… is not installed\` among the attempts | npm left the optional dependency out: \`--omit=optional\`, or a lock file written without it | \`npm install --include=optional\`; else remove \`node_modules\` and the lock file, and install again |
| \`node_modules is of another platform\` | it was copied, or installed for another machine | remove it and install on the machine itself; to install for another machine, \`npm install --os=linux --cpu=x64 --libc=musl\` |
| \`is of version …, wengert is of …\` | the two were updated apart | install both again |
| \`Error relocating … symbol not found\` on Alpine | a glibc binary on musl | a version of the package with a musl binary, or a build from source |
| \`built for arm64, this is x64\`, \`no ELF file\`, \`wrong architecture\` | \`node_modules\` was copied from another platform | install on the machine itself |
| \`cut short\` | the file is not whole: a full disk, or an install that was killed | remove the package and install it again |
| \`built from other sources\` | \`build/Release\` holds another version | build it again, or remove \`build\` |
| \`reason\` is \`WENGERT_BACKEND=js\` | the environment chose it | unset the variable |
| slower than expected, all processors busy | several trainings, or other work, share the processors | \`setThreads(1)\` in each worker, or \`WENGERT_THREADS=1\` |

A build from source needs a compiler, cmake and OpenBLAS: in a clone, \`npm start\` sees to all three.

## Errors by code

Every error raised on purpose is a \`WengertError\`: \`code\` is stable, \`message\` reads "operation: expected …, got …" where values were compared, and else says what happened and what to do.

| code | cause | remedy |
|---|---|---|
`

/** The whole document for a table of codes. */
export function troubleshooting(codes) {
  const rows = Object.entries(codes).map(([code, { cause, remedy }]) => `| \`${code}\` | ${cause} | ${remedy} |`)
  return `${head}${rows.join('\n')}\n`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { errorCodes } = await import('../dist/lib/errors.js')
  writeFileSync(fileURLToPath(new URL('../docs/troubleshooting.md', import.meta.url)), troubleshooting(errorCodes))
}
