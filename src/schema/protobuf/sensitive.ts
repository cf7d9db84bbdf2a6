import { unmarked, type Marks } from '../sensitive.ts'
import type { MessageDescriptor } from './peer.ts'

interface Field {
  readonly localName: string
  readonly fieldKind: string
  readonly message?: MessageDescriptor
  readonly oneof?: { readonly localName: string }
  readonly proto: { readonly options?: { readonly debugRedact?: boolean } }
}

/** Where the fields are that the option `debug_redact` marks. */
export function marksOf(root: MessageDescriptor): Marks {
  const known = new Map<MessageDescriptor, Marks>()
  const visit = (message: MessageDescriptor): Marks => {
    const found = known.get(message)
    if (found) return found
    const marks = unmarked()
    known.set(message, marks)
    for (const field of (message as { fields?: readonly Field[] }).fields ?? []) {
      const inner = field.message ? visit(field.message) : unmarked()
      const many = field.fieldKind === 'list' || field.fieldKind === 'map'
      const at: Marks = field.proto.options?.debugRedact
        ? { ...unmarked(), here: true }
        : many
          ? { ...unmarked(), each: inner }
          : inner
      if (!field.oneof) marks.fields.set(field.localName, at)
      else {
        // A value says `{ case, value }` there. Whichever it is: what one of them marks is looked for in all.
        const choice = marks.fields.get(field.oneof.localName) ?? unmarked()
        marks.fields.set(field.oneof.localName, choice)
        const value = choice.fields.get('value') ?? unmarked()
        choice.fields.set('value', value)
        value.others.push(at)
      }
    }
    return marks
  }
  return visit(root)
}
