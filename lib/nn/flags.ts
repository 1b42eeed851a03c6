/**
 * How often a flag of any module or parameter (`training`, `frozen`) has been set: whoever has looked at some of them need not look
 * again while this stays.
 */

export let flagChanges = 0

/** A flag was set. */
export function noteFlagChange(): void {
  flagChanges++
}
