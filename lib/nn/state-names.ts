/** Names in state dicts of PyTorch that are others here: the one place that maps them. */

/** The last part of a name there, and here. */
const renamed: Readonly<Record<string, string>> = { running_mean: 'runningMean', running_var: 'runningVariance' }
/** What is kept there beside a buffer, and not needed here. */
const beside: Readonly<Record<string, string>> = { num_batches_tracked: 'runningMean' }

/** The values under the names that a module has; what it does not know keeps its name. */
export function ownNames<T>(dict: Readonly<Record<string, T>>, own: ReadonlySet<string>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(dict).flatMap(([name, value]) => {
      if (own.has(name)) return [[name, value]]
      const end = name.lastIndexOf('.') + 1
      const [prefix, last] = [name.slice(0, end), name.slice(end)]
      const here = Object.hasOwn(renamed, last) ? prefix + renamed[last] : undefined
      if (here !== undefined && own.has(here) && !Object.hasOwn(dict, here)) return [[here, value]]
      return Object.hasOwn(beside, last) && own.has(prefix + beside[last]) ? [] : [[name, value]]
    }),
  )
}
