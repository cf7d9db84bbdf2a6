import type { VitalsPublisher, VitalsReport } from './vitals-publisher.ts'
import type { VitalsView } from './vitals-view.ts'

/** The vitals of one broker that a stage reports to. */
export interface VitalsOutlet {
  readonly publisher: VitalsPublisher
  readonly view: VitalsView
  /** The topics whose readers listen there. */
  readonly topics: ReadonlySet<string>
}

/**
 * Where the tasks of a stage report: the vitals of every broker that it writes to, for the readers of its topics listen to no
 * other. Each is told of its own topics only: another broker may have one of the same name, and its readers would wait for us.
 */
export class VitalsOutlets {
  readonly #outlets: readonly VitalsOutlet[]

  constructor(outlets: readonly VitalsOutlet[]) {
    this.#outlets = outlets
  }

  /** Must arrive before the first record of these producers: rejects when it cannot. */
  async announce(reports: readonly VitalsReport[]): Promise<void> {
    for (const outlet of this.#outlets) await outlet.publisher.announce(reports.map(report => toldTo(outlet, report)))
  }

  /** A task that has reported before needs no announcement, which would hide where it stands. */
  async announceNew(reports: readonly VitalsReport[]): Promise<void> {
    for (const outlet of this.#outlets)
      await outlet.publisher.announce(
        reports.map(report => toldTo(outlet, report)).filter(report => !isKnown(outlet.view, report))
      )
  }

  report(report: VitalsReport): void {
    const { hasNews } = report
    for (const outlet of this.#outlets) {
      const told = toldTo(outlet, report)
      // Whoever is asked first hears of the news, and nobody else.
      const spread = (): boolean => {
        const news = hasNews?.() ?? false
        if (news) for (const other of this.#outlets) if (other !== outlet) other.publisher.urge()
        return news
      }
      outlet.publisher.report(hasNews && this.#outlets.length > 1 ? { ...told, hasNews: spread } : told)
    }
  }

  /** There is news that others should hear before the next beat. */
  urge(): void {
    for (const { publisher } of this.#outlets) publisher.urge()
  }

  /** This producer is not ours any more: what was reported last is still said, and nothing more. */
  forget(producer: string): void {
    for (const { publisher } of this.#outlets) publisher.forget(producer)
  }
}

function toldTo({ topics }: VitalsOutlet, report: VitalsReport): VitalsReport {
  const outputs = new Map([...report.outputs].filter(([topic]) => topics.has(topic)))
  return outputs.size === report.outputs.size ? report : { ...report, outputs }
}

function isKnown({ tasks }: VitalsView, { task, outputs }: VitalsReport): boolean {
  const known = tasks.get(task)
  return known !== undefined && [...outputs.keys()].every(topic => known.outputs.has(topic))
}
