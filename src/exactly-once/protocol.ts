/**
 * The commit protocol of one task as a pure reducer: `step(state, event)` gives the next state and what the host must do.
 * Production (`pipeline/task.ts`), the model check (`test/exactly-once/protocol.model.test.ts`) and simulations run this
 * same function. The numbers are those of the steps in `docs/exactly-once.md`.
 */
export type ProtocolState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'acquiring' }
  | { readonly phase: 'running'; readonly epoch: number; readonly commit: number }
  | Pending<'committing'>
  | Pending<'reading-back'>

interface Pending<Phase> {
  readonly phase: Phase
  readonly epoch: number
  /** The number that is being appended. */
  readonly commit: number
  /** Random: tells our append from anybody else's under the same number. */
  readonly token: string
}

export type ProtocolEvent =
  /** The broker or a lease gave us the task. */
  | { readonly type: 'assigned' }
  /** The store raised the epoch for us, and this is the last commit there. */
  | { readonly type: 'acquired'; readonly epoch: number; readonly commit: number }
  /** Interval, bytes, count, idle, or draining: there is something to commit. */
  | { readonly type: 'commit-due'; readonly token: string }
  | { readonly type: 'appended'; readonly outcome: 'ok' | 'fenced' | 'unknown' }
  /** The store was read again, under a new epoch where reading back needs one. */
  | { readonly type: 'read-back'; readonly epoch: number; readonly commit: number; readonly token: string | undefined }
  /** The task was taken from us, or we let it go. */
  | { readonly type: 'released' }

export type ProtocolEffect =
  /** Raise the epoch, *then* read the head: from here on appends of older owners fail. */
  | { readonly do: 'acquire' }
  /** Restore state, timers, trackers and counters; queue the outbox again; seek the inputs to the positions. */
  | { readonly do: 'recover' }
  /** One conditional write on (epoch, commit - 1). Nothing is processed until its outcome is known. */
  | { readonly do: 'append'; readonly epoch: number; readonly commit: number; readonly token: string }
  /** Never guess: find out what the store holds under this number. */
  | { readonly do: 'read-back' }
  /** It is durable: nothing is dirty, hand the outbox to the relay, acknowledge the inputs. */
  | { readonly do: 'apply'; readonly commit: number }
  /** Someone newer owns the task: drop buffers, state and relay queue; no acknowledgement, no checkpoint. */
  | { readonly do: 'discard' }

export type Step = readonly [state: ProtocolState, effects: readonly ProtocolEffect[]]

export const idle: ProtocolState = { phase: 'idle' }

export function step(state: ProtocolState, event: ProtocolEvent): Step {
  // Release wins in every phase. An append in flight may still take effect: the successor finds it in the store.
  if (event.type === 'released') return state.phase === 'idle' ? [idle, []] : [idle, [{ do: 'discard' }]]

  switch (state.phase) {
    case 'idle':
      // 1. Acquire before anything is read (law 4; model R1: reading first duplicates).
      if (event.type === 'assigned') return [{ phase: 'acquiring' }, [{ do: 'acquire' }]]
      break
    case 'acquiring':
      // 2. Recover from the last commit: it is the truth, whatever the broker's group says.
      if (event.type === 'acquired')
        return [{ phase: 'running', epoch: event.epoch, commit: event.commit }, [{ do: 'recover' }]]
      break
    case 'running':
      // 5. Commit: positions, state, dedupe marks, timers, watermarks and outputs in one conditional write (law 2).
      if (event.type === 'commit-due') {
        const pending = { epoch: state.epoch, commit: state.commit + 1, token: event.token }
        return [{ phase: 'committing', ...pending }, [{ do: 'append', ...pending }]]
      }
      break
    case 'committing':
      if (event.type === 'appended') {
        if (event.outcome === 'ok') return applied(state)
        if (event.outcome === 'fenced') return [idle, [{ do: 'discard' }]]
        return [{ ...state, phase: 'reading-back' }, [{ do: 'read-back' }]]
      }
      break
    case 'reading-back':
      if (event.type === 'appended' && event.outcome === 'fenced') return [idle, [{ do: 'discard' }]]
      if (event.type === 'read-back') {
        // Mine by token: it took effect. Absent: the same number again, same record, same stamps (law 3). Else: fenced.
        if (event.commit === state.commit && event.token === state.token)
          return applied({ ...state, epoch: event.epoch })
        if (event.commit === state.commit - 1) {
          const pending = { epoch: event.epoch, commit: state.commit, token: state.token }
          return [{ phase: 'committing', ...pending }, [{ do: 'append', ...pending }]]
        }
        return [idle, [{ do: 'discard' }]]
      }
      break
  }
  throw new Error(`protocol: '${event.type}' cannot happen while ${state.phase}`)
}

function applied(pending: { readonly epoch: number; readonly commit: number }): Step {
  return [{ phase: 'running', epoch: pending.epoch, commit: pending.commit }, [{ do: 'apply', commit: pending.commit }]]
}
