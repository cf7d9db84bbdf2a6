/** What happened, in the order of time: kept only when somebody wants to read it. */
export class Story {
  readonly lines: string[] = []
  readonly #now: () => number
  readonly #wanted: boolean

  constructor(now: () => number, wanted: boolean) {
    this.#now = now
    this.#wanted = wanted
  }

  tell(text: () => string): void {
    if (this.#wanted) this.lines.push(`${this.#now().toFixed(1).padStart(10)}  ${text()}`)
  }
}
