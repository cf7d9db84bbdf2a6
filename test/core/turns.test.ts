import { describe, expect, it } from 'vitest'
import { systemEnvironment, type Environment } from '../../src/core/environment.ts'
import { Turns } from '../../src/core/turns.ts'

describe('turns of the event loop', () => {
  it('are given to the short pieces first, and to one in each turn', async () => {
    let loop = 0
    const environment: Environment = {
      ...systemEnvironment,
      turn: async () => {
        await systemEnvironment.turn()
        loop++
      }
    }
    const turns = Turns.of(environment)
    const story: string[] = []
    const slices = async (): Promise<void> => {
      for (let at = 0; at < 3; at++) {
        await turns.next()
        story.push(`${loop} slice`)
      }
    }
    const pieces = async (): Promise<void> => {
      await turns.next()
      story.push(`${loop} commit`)
      for (let at = 0; at < 3; at++) {
        await turns.soon()
        story.push(`${loop} piece`)
      }
    }
    await Promise.all([slices(), pieces()])
    expect(story).toEqual(['1 slice', '2 commit', '3 piece', '4 piece', '5 piece', '6 slice', '7 slice'])
  })
})
