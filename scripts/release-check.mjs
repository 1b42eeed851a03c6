/**
 * What a release needs beside its binaries, checked before they are built: the workflow `release` runs it on a tag. Each thing that
 * is missing is told with what to do about it.
 */
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

/** The sentences for what is missing: `manifest` is package.json, `environment` that of a run of the workflow. */
export function missing(manifest, environment) {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_REF_NAME: tag, NPM_TOKEN, NPM_REGISTRY_URL } = environment
  const found = []
  if (!server || !repository || !tag)
    found.push(
      'This is not a run of the workflow on a tag: GITHUB_SERVER_URL, GITHUB_REPOSITORY and GITHUB_REF_NAME say where it runs, and on what.',
    )
  const url = typeof manifest.repository === 'string' ? manifest.repository : manifest.repository?.url
  // The registry compares it with where the workflow runs.
  const name = url
    ?.replace(/\.git$/, '')
    .split(/[/:]/)
    .slice(-2)
    .join('/')
  if (name?.toLowerCase() !== repository?.toLowerCase() || !repository) {
    const wanted = `git+${server || 'https://SERVER'}/${repository || 'OWNER/NAME'}.git`
    found.push(
      `package.json has ${url ? `the repository ${url}` : 'no repository'}, and npm publish --provenance wants the one that the workflow runs in: npm pkg set repository.type=git repository.url=${wanted}, and commit it.`,
    )
  }
  if (tag && tag !== `v${manifest.version}`)
    found.push(`The tag is ${tag}, the version in package.json ${manifest.version}: tag v${manifest.version}.`)
  if (!NPM_TOKEN) found.push('The secret NPM_TOKEN is not set: in the settings of the repository, a token of npm that may publish.')
  if (!NPM_REGISTRY_URL)
    found.push("The variable NPM_REGISTRY_URL is not set: in the settings of the repository, the address of npm's registry.")
  return found
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  const found = missing(manifest, process.env)
  for (const sentence of found) console.error(`release: ${sentence}`)
  if (found.length > 0) process.exitCode = 1
}
