/**
 * `node worker.ts FILE NAME PARTITIONS SESSION`: a member that commits for the partitions it holds, one after the other
 * and again, until it is told to leave. Each commit says whose it is, and stays in the store.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { systemEnvironment } from '../../src/core/environment.ts'
import { commitToken, LeaseGroup, SqliteStore, type LeaseStore, type TaskLog } from '../../src/exactly-once/index.ts'
import { historySlot, now, partitionNames, scope, taskOf, type Entry, type Message, type Word } from './history.ts'

const interval = 40

interface Life {
  log: TaskLog | undefined
  acquiredAt: number
  lostAt: number
  number: number
  stop: boolean
  lost: boolean
  wake: () => void
  ended: Promise<void>
  /** The append before: one at a time, as of every task. */
  appending: Promise<unknown>
}

const [path = '', name = '', partitions = '', session = ''] = process.argv.slice(2)
const store = await SqliteStore.open(path)
const tell = (message: Message): void => void process.send?.(message)
const lives = new Map<string, Life>()
/** What was lost, with what it still wants to commit. */
const lost = new Map<string, Life>()
const last = new Map<string, number>()
/** When the table was looked at, and when a partition was given back after which commit. */
const looks: number[] = []
const releases: Record<string, number> = {}
let refused = 0

const watched: LeaseStore = {
  leases: where => (looks.push(now()), store.leases(where)),
  take: (...given) => store.take(...given),
  beat: (...given) => store.beat(...given),
  ask: (...given) => store.ask(...given),
  release(where, unit, owner) {
    releases[`${unit} ${last.get(unit)}`] = now()
    return store.release(where, unit, owner)
  },
  remove: (...given) => store.remove(...given)
}

function append(unit: string, life: Life, first: boolean, final: boolean): Promise<'ok' | 'fenced'> {
  const appending = life.appending.then(() => appendNext(unit, life, first, final))
  life.appending = appending
  return appending
}

async function appendNext(unit: string, life: Life, first: boolean, final: boolean): Promise<'ok' | 'fenced'> {
  const log = life.log!
  const number = life.number + 1
  const token = commitToken(systemEnvironment)
  const entry: Entry = {
    owner: name,
    epoch: log.epoch,
    number,
    at: now(),
    last: final,
    looks: first ? looks.slice(-20) : []
  }
  const value = Buffer.from(JSON.stringify(entry))
  const key = `${number}`.padStart(9, '0')
  const commit = { number, token, head: value, state: [{ slot: historySlot, key, value }] }
  for (;;) {
    let outcome = await log.append({ ...commit, outputs: [], relayedTo: 0, positions: [] })
    if (outcome === 'unknown') {
      const found = await log.readBack()
      if (found === 'fenced') outcome = 'fenced'
      else if (found.last?.token === token) outcome = 'ok'
      else if ((found.last?.number ?? 0) >= number) throw new Error(`${unit}: two commits under one epoch`)
      else continue
    }
    if (outcome === 'fenced') refused++
    else last.set(unit, (life.number = number))
    return outcome
  }
}

/** As the runner of a task: acquire, commit, and when fenced, acquire again for as long as the lease is ours. */
async function work(unit: string, life: Life): Promise<void> {
  while (!life.stop && !life.lost) {
    const log = await acquire(unit)
    if (log) {
      life.log = log
      life.acquiredAt = now()
      life.number = log.last?.number ?? 0
      for (let first = true; !life.lost; first = false) {
        const final = life.stop
        if ((await append(unit, life, first, final)) === 'fenced') break
        if (final) return
        if (!life.stop) await pause(life, interval)
      }
    }
    if (!life.stop) await pause(life, 50)
  }
}

async function acquire(unit: string): Promise<TaskLog | undefined> {
  try {
    return await store.acquire(taskOf(unit))
  } catch (error) {
    if ((error as { retryable?: boolean }).retryable) return undefined
    throw error
  }
}

function pause(life: Life, milliseconds: number): Promise<void> {
  const abort = new AbortController()
  life.wake = () => abort.abort()
  return sleep(milliseconds, undefined, { signal: abort.signal }).catch(() => {})
}

const fail = (error: unknown): void => {
  console.error(name, error)
  process.exit(1)
}

const units = partitionNames(Number(partitions))
const group = new LeaseGroup(watched, systemEnvironment, scope, name, Number(session), units, {
  taken(unit) {
    const life = newLife()
    lives.set(unit, life)
    life.ended = work(unit, life)
      .catch(fail)
      .then(() => {
        lives.delete(unit)
        void group.release(unit)
      })
  },
  asked: unit => end(unit, 'stop'),
  lost: unit => end(unit, 'lost'),
  failed: fail
})

function newLife(): Life {
  const nothing = { log: undefined, acquiredAt: 0, lostAt: Infinity, number: 0 }
  return {
    ...nothing,
    stop: false,
    lost: false,
    wake: () => {},
    ended: Promise.resolve(),
    appending: Promise.resolve()
  }
}

function end(unit: string, how: 'stop' | 'lost'): void {
  const life = lives.get(unit)
  if (!life) return
  if (how === 'lost') lost.set(unit, life)
  life.lostAt = now()
  life[how] = true
  life.wake()
}

async function leave(): Promise<void> {
  // As a stage that drains: others take each partition as soon as it is done.
  group.setUnits([])
  const ending = [...lives]
  for (const [unit] of ending) end(unit, 'stop')
  await Promise.all(ending.map(([, { ended }]) => ended))
  await group.close()
  await store.close()
  tell({ kind: 'left', refused, releases })
  process.disconnect()
}

/** It was stopped, and goes on where it was: with what it had in its hands then, as if it had not looked since. */
async function commitLate(stoppedAt: number): Promise<void> {
  // All at once: nothing that the group hears of meanwhile comes in between.
  const tried = [...new Map([...lives, ...lost])].flatMap(([unit, life]) => {
    const isOld = life.log && life.acquiredAt <= stoppedAt && !(lost.has(unit) && life.lostAt < stoppedAt)
    return isOld ? [append(unit, life, false, false)] : []
  })
  // Of these: what the work itself tries at the same time may be refused, too.
  const outcomes = await Promise.all(tried)
  tell({ kind: 'late', tried: tried.length, refused: outcomes.filter(outcome => outcome === 'fenced').length })
}

process.on('message', (word: Word) => {
  if (word === 'leave') void leave().catch(fail)
  else void commitLate(word.stoppedAt).catch(fail)
})

// Nobody is left to tell it anything.
process.once('disconnect', () => process.exit())

tell({ kind: 'ready' })
