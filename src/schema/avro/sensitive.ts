import { unmarked, type Marks } from '../sensitive.ts'
import { branchName, type AvroType } from './model.ts'

/** Where the fields are that the schema marks. */
export function marksOf(root: AvroType): Marks {
  const known = new Map<AvroType, Marks>()
  const visit = (type: AvroType): Marks => {
    const found = known.get(type)
    if (found) return found
    const marks = unmarked()
    known.set(type, marks)
    if (type.kind === 'array') marks.each = visit(type.items)
    else if (type.kind === 'map') marks.each = visit(type.values)
    else if (type.kind === 'record')
      for (const field of type.fields)
        marks.fields.set(field.name, field.sensitive ? { ...unmarked(), here: true } : visit(field.type))
    else if (type.kind === 'union')
      for (const branch of type.branches) {
        // Plain or wrapped under its name: which of the two, the value shows.
        const inner = visit(branch)
        marks.others.push(inner, { ...unmarked(), fields: new Map([[branchName(branch), inner]]) })
      }
    return marks
  }
  return visit(root)
}
