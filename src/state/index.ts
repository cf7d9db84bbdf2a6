export { keyed, stateKey, TaskState } from './keyed.ts'
export type { KeyedDefinition, KeyedState, StateDefinitions, StateHandles, StateRow } from './keyed.ts'
export { TimerQueue, timerSlot } from './timers.ts'
export type { TimerEntry } from './timers.ts'
