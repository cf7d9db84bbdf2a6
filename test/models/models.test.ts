/** Every interleaving of the bounded models, on the reducers of the product; `npm run models -- --deep` takes the large ones. */
import { describe, expect, it } from 'vitest'
import { check, models } from '../../models/index.ts'

const quick = models.filter(({ deep }) => !deep || process.env['TIDEMARK_DEEP'])
const sound = quick.filter(({ expected }) => expected === 'ok')
const mutants = quick.filter(({ expected }) => expected !== 'ok')
const limit = 180_000

describe('every interleaving', () => {
  it.each(sound)(
    '$name $what: holds',
    model => {
      const { verdict, trace, states } = check(model)
      expect(verdict, trace.join('\n')).toBe('ok')
      expect(states).toBeGreaterThan(300)
    },
    limit
  )
})

describe('a protocol that looks right is found out', () => {
  it.each(mutants)(
    '$name $what',
    model => {
      const { verdict, trace } = check(model)
      expect(verdict, 'the mutant passed: the model is too weak').toMatch(model.expected as RegExp)
      expect(trace.length).toBeGreaterThan(0)
    },
    limit
  )
})

it('every protocol has both', () => {
  for (const family of 'CRBTDKLWSN')
    for (const list of [sound, mutants])
      expect(
        list.map(({ name }) => (name[0] === 'M' ? 'B' : name[0])),
        family
      ).toContain(family)
})
