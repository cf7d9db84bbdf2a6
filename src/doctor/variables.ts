import { upperSnake, type Variables } from '../core/options.ts'
import { nearest } from '../core/problems.ts'
import { defaultSettings } from '../pipeline/index.ts'
import { doubtful, type Finding } from './finding.ts'

/** Variables that look like ours and change nothing: a slip of the pen is silent otherwise. Values are not said. */
export function unknownVariables(variables: Variables, brokers: readonly string[]): Finding[] {
  const runNames = Object.keys(defaultSettings).map(name => `TIDEMARK_RUN__${upperSnake(name)}`)
  const brokerNames = brokers.map(name => `TIDEMARK_BROKERS__${upperSnake(name)}`)
  const isKnown = (name: string): boolean => {
    if (name.startsWith('TIDEMARK_RUN__')) return runNames.includes(name)
    return brokerNames.some(known => name === known || name.startsWith(`${known}__`))
  }
  return Object.keys(variables)
    .filter(name => /^TIDEMARK_(?:RUN|BROKERS)__/.test(name) && !isKnown(name))
    .map(name =>
      doubtful(
        `variable ${name}`,
        'has no effect: there is no such option',
        `remove it, or spell it as one of ${[...brokerNames, 'TIDEMARK_RUN__<OPTION>'].join(', ')}${nearest(name, [...runNames, ...brokerNames])}`
      )
    )
}
