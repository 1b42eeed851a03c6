/**
 * A plugin of typedoc: every operation is a function and, attached to Tensor, a method. The method shows the function's text,
 * so that there is one. Methods are told by their kind: properties without a comment whose function is exported too.
 */
import { Comment, Converter, ReflectionKind } from 'typedoc'

/** Methods whose functions have another name in the public surface, or none. */
const named = { split: 'splitTensor' }
const alone = { sumTo: 'Sums to a shape that broadcasting took this tensor from: the transpose of `broadcastTo`.' }

export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    const functions = new Map(project.getReflectionsByKind(ReflectionKind.Function).map((one) => [one.name, one.signatures?.[0]?.comment]))
    for (const property of project.getReflectionsByKind(ReflectionKind.Property)) {
      if (property.comment || !['Tensor', 'Buffer', 'Parameter'].includes(property.parent?.name)) continue
      const comment = functions.get(named[property.name] ?? property.name)
      const own = alone[property.name]
      if (comment) {
        property.comment = comment.clone()
        property.comment.removeTags('@param')
      } else if (own) property.comment = new Comment([{ kind: 'text', text: own }])
    }
  })
}
