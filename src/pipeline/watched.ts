import type { Load, Pulse, Work } from '../health/index.ts'
import { isPromise, type Logic } from './logic.ts'
import type { StreamTask } from './stream-task.ts'

/**
 * A logic whose calls are seen in the pulse of its task: what is asynchronous is under way until it comes back, what throws has
 * failed. A handler that is synchronous costs nothing more: it cannot hang without the whole process.
 */
export function watched(logic: Logic, pulse: Pulse): Logic {
  const followed = <Result>(work: Work, result: Result & PromiseLike<unknown>): Result => {
    const pending = pulse.during(work, result)
    pending.then(
      () => pulse.recovered(),
      error => pulse.failed(error)
    )
    return pending as Result
  }
  const seen = <Result>(work: () => Work, call: () => Result): Result => {
    let result: Result
    try {
      result = call()
    } catch (error) {
      pulse.failed(error)
      throw error
    }
    if (isPromise(result)) return followed(work(), result)
    pulse.recovered()
    return result
  }
  const { onWatermark, onComplete, beforeAppend, batch } = logic
  return {
    ...logic,
    // As `seen`, without two functions for each record.
    process(record, context) {
      let result: ReturnType<Logic['process']>
      try {
        result = logic.process(record, context)
      } catch (error) {
        pulse.failed(error)
        throw error
      }
      if (!isPromise(result)) {
        pulse.recovered()
        return result
      }
      const { topic, partition, position } = record
      return followed({ doing: 'handling a record', by: 'handler', topic, partition, position }, result)
    },
    ...(batch && {
      batch: {
        ...batch,
        process: (records, context) =>
          seen(
            () => {
              const { topic, partition, position } = records[0]!
              return { doing: `handling ${records.length} records`, by: 'handler', topic, partition, position }
            },
            () => batch.process(records, context)
          )
      }
    }),
    fire: (timer, context) =>
      seen(
        () => ({ doing: `handling its timer '${timer.name}'`, by: 'handler' }),
        () => logic.fire(timer, context)
      ),
    onWatermark:
      onWatermark &&
      ((watermark, context) =>
        seen(
          () => ({ doing: 'handling a watermark', by: 'handler' }),
          () => onWatermark(watermark, context)
        )),
    ...(onComplete && {
      onComplete: (interval, context) =>
        seen(
          () => ({ doing: 'handling the end of an interval', by: 'handler' }),
          () => onComplete(interval, context)
        )
    }),
    ...(beforeAppend && {
      beforeAppend: (log, writing) =>
        seen(
          () => ({ doing: 'writing', by: 'destination' }),
          () => beforeAppend(log, writing)
        )
    })
  }
}

/** What waits for a task, and what it owes. */
export function loadOf({ inputs, dirty, retryIn, counts, health }: StreamTask): Load {
  return {
    queued: inputs.some(input => input.ready),
    owing: dirty || retryIn !== undefined,
    done: counts.processed + counts.parked + counts.duplicates,
    pending: () => health.report().pending,
    places: inputs.map(({ bound, partition, position }) => ({ topic: bound.topic.name, partition, position }))
  }
}
