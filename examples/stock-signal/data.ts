import { readFile } from 'node:fs/promises'

/** A price of a share, or of the index (`SP500`). */
export interface Quote {
  readonly symbol: string
  /** Day of the data, such as `2000-01-03`: in this replay a few days go by in each second. */
  readonly day: string
  readonly price: number
}

/** Twenty years of the S&P 500 day by day, and five shares month by month, in the order of their days. */
export async function readQuotes(): Promise<Quote[]> {
  const index = (await rows('sp500-2000.csv')).map(([day, , , , close]) => ({
    symbol: 'SP500',
    day: day!,
    price: Number(close)
  }))
  const shares = (await rows('stocks.csv')).map(([symbol, day, price]) => ({
    symbol: symbol!,
    day: new Date(`${day} UTC`).toISOString().slice(0, 10),
    price: Number(price)
  }))
  return [...index, ...shares].sort((left, right) => (left.day < right.day ? -1 : left.day > right.day ? 1 : 0))
}

async function rows(name: string): Promise<string[][]> {
  const file = new URL(`../../node_modules/vega-datasets/data/${name}`, import.meta.url)
  const [, ...lines] = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.map(line => line.split(','))
}
