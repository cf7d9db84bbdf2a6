import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { StreamError } from '../../src/core/errors.ts'
import { AwakeClock } from '../../src/health/awake-clock.ts'
import { healthFetch, healthListener, healthText, ProcessHealth, type HealthReport } from '../../src/health/index.ts'
import { SimulatedEnvironment } from '../../src/testing/simulated-environment.ts'
import { sleep, type Environment } from '../../src/core/environment.ts'

const limits = { stalledAfter: 60_000, unreachableAfter: 10_000 }

describe('the health of a process', () => {
  const world = (): { environment: SimulatedEnvironment; health: ProcessHealth; pass(ms: number): Promise<void> } => {
    const environment = new SimulatedEnvironment()
    const health = new ProcessHealth(environment)
    return { environment, health, pass: ms => environment.run(sleep(environment, ms)) }
  }

  it('is not ready before its run is up, nor when it drains, and is alive all the time', async () => {
    const { health, pass } = world()
    const phases: boolean[] = []
    const run = health.run('app', limits)
    phases.push(health.report().ready)
    run.enter('running')
    await pass(1_000)
    phases.push(health.report().ready)
    run.enter('draining')
    phases.push(health.report().ready)
    run.enter('ended')
    phases.push(health.report().ready)
    expect(phases).toEqual([false, true, false, true])
    expect(health.report()).toMatchObject({ live: true, problems: [], runs: [{ pipeline: 'app', phase: 'ended' }] })
    health.close()
    expect(health.report().ready).toBe(false)
  })

  it('names the handler that hangs: stage, partition, record, and for how long', async () => {
    const { health, pass, environment } = world()
    const run = health.run('app', limits)
    run.enter('running')
    const pulse = run.stage('enrich').begin(3)
    pulse.load = () => ({ queued: true, owing: true, done: 0, pending: () => 0, places: [] })
    const started = environment.now()
    const end = pulse.begin({
      doing: 'handling a record',
      by: 'handler',
      topic: 'orders',
      partition: 3,
      position: '41'
    })
    await pass(59_000)
    expect(health.report().live).toBe(true)
    await pass(11_000)
    expect(health.report()).toMatchObject({
      live: false,
      ready: false,
      problems: [
        {
          cause: 'hung',
          pipeline: 'app',
          stage: 'enrich',
          partition: '3',
          topic: 'orders',
          position: '41',
          since: started,
          milliseconds: 70_000,
          mayRestartMend: true,
          message: "partition 3 of stage 'enrich' hangs while handling a record (orders/3 at 41), for 70 s"
        }
      ]
    })
    end()
    pulse.beat()
    expect(health.report()).toMatchObject({ live: true, ready: true, problems: [] })
    health.close()
  })

  it('says that it reconnects, since when, and asks for no new process', async () => {
    const { health, pass } = world()
    const run = health.run('app', limits)
    run.enter('running')
    const stage = run.stage('enrich')
    stage.lost(new StreamError('connection', 'kafka: password=hunter2 refused'))
    await pass(9_000)
    expect(health.report().ready).toBe(true)
    stage.lost(new StreamError('connection', 'again'))
    await pass(25_000)
    const report = health.report()
    expect(report).toMatchObject({ live: true, ready: false })
    expect(report.problems[0]!.message).toBe(
      "stage 'enrich' cannot reach its broker or store and tries again, for 34 s (connection)"
    )
    expect(healthText(report)).not.toContain('hunter2')
    stage.found()
    expect(health.report().ready).toBe(true)
    health.close()
  })

  it('stays red when a run has failed and the program goes on', async () => {
    const { health, pass } = world()
    const run = health.run('app', limits)
    run.enter('failed', new StreamError('handler', 'secret'))
    await pass(5_000)
    expect(health.report()).toMatchObject({ live: false, ready: false })
    expect(health.report().problems[0]!.message).toBe(
      "pipeline 'app' has failed and does not run any more, for 5 s (handler)"
    )
    health.run('app', limits).enter('running')
    expect(health.report()).toMatchObject({ live: true, ready: true })
    health.close()
  })

  it('does not blame a task for the time in which the event loop stood still', async () => {
    let now = 0
    const environment = { ...new SimulatedEnvironment(), now: () => now, monotonic: () => now } as never
    const clock = new AwakeClock(environment, 2_000)
    now = 3_600_000
    expect(clock.now()).toBe(2_000)
    expect(clock.tick()).toBe(3_600_000)
    expect(clock.now()).toBe(2_000)
    now += 500
    expect(clock.now()).toBe(2_500)
    expect(clock.wall(500)).toBe(now - 2_000)
  })

  it('knows when it was that it had so long to go, awake', () => {
    let now = 0
    const environment = { ...new SimulatedEnvironment(), monotonic: () => now } as never
    const clock = new AwakeClock(environment, 2_000)
    for (now = 1_000; now <= 10_000; now += 1_000) clock.tick()
    expect(clock.ago(4_000)).toBe(now - 4_000)
    now = 70_000
    // Of the minute in which it was stopped two seconds count, noticed or not.
    for (const noticed of [false, true]) {
      if (noticed) clock.tick()
      expect(clock.ago(2_000), `noticed: ${noticed}`).toBe(10_000)
      expect(clock.ago(5_000), `noticed: ${noticed}`).toBe(7_000)
    }
    for (now = 71_000; now <= 75_000; now += 1_000) clock.tick()
    now = 75_000
    expect(clock.ago(5_000)).toBe(70_000)
    expect(clock.ago(8_000)).toBe(9_000)
  })

  it('does not ask for ever once everything is over', async () => {
    const { pass, environment } = world()
    let asked = 0
    const counting: Environment = {
      now: () => environment.now(),
      monotonic: () => environment.monotonic(),
      random: () => environment.random(),
      turn: () => environment.turn(),
      timer: (delay, task) => {
        asked++
        return environment.timer(delay, task)
      }
    }
    const counted = new ProcessHealth(counting)
    const run = counted.run('app', limits)
    await pass(10_000)
    expect(asked).toBeGreaterThan(8)
    run.enter('ended')
    await pass(2_000)
    const before = asked
    await pass(60_000)
    expect(asked).toBe(before)
  })
})

describe('probes over HTTP', () => {
  const report: HealthReport = {
    live: true,
    ready: false,
    runs: [{ pipeline: 'app', phase: 'running', tasks: 4 }],
    problems: [
      {
        cause: 'failing',
        pipeline: 'app',
        stage: 'enrich',
        since: 1,
        milliseconds: 2,
        message: 'm',
        error: new Error('card 4111'),
        mayRestartMend: false
      }
    ]
  }
  const asked: readonly [string, string, number][] = [
    ['GET', '/live', 200],
    ['GET', '/livez?verbose', 200],
    ['GET', '/ready', 503],
    ['GET', '/probes/readyz', 503],
    ['GET', '/healthz', 503],
    ['HEAD', '/live', 200],
    ['GET', '/', 404],
    ['GET', '/constructor', 404],
    ['GET', '/../../etc/passwd', 404],
    ['POST', '/live', 405]
  ]

  it.each(asked)('%s %s is answered with %d, by node:http and by Fetch', async (method, path, status) => {
    const of = { health: () => report }
    const server = createServer(healthListener(of)).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`
      const overHttp = await fetch(url, { method })
      const overFetch = healthFetch(of)(new Request(url, { method }))
      for (const response of [overHttp, overFetch]) {
        expect(response.status).toBe(status)
        expect(response.headers.get('cache-control')).toBe('no-store')
        const body = await response.text()
        expect(body).not.toContain('4111')
        if (status !== 404 && status !== 405 && method === 'GET')
          expect(JSON.parse(body)).toMatchObject({ ready: false, problems: [{ cause: 'failing', message: 'm' }] })
      }
    } finally {
      server.close()
    }
  })
})
