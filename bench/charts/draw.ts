import { init, type EChartsCoreOption } from 'echarts'
import type { Spread } from '../measure.ts'
import { isAmount, type Measured } from '../report.ts'
import { rounded } from './tables.ts'

/** One picture: bars side by side, or a line over an axis; each value with its range. */
export interface Chart {
  /** Of the file, without its ending. */
  readonly file: string
  readonly title: string
  readonly unit: string
  /** Name of the axis; a line is drawn. Bars when there is none. */
  readonly axis?: string | undefined
  readonly points: readonly { readonly label: string; readonly spread: Spread }[]
}

/** Figures that belong together make one chart: those of a series, the percentiles of one run, ours and the raw loop. */
export function charts(measured: readonly Measured[]): readonly Chart[] {
  const all = new Map<string, Chart>()
  for (const each of measured) {
    const chart = isAmount(each) ? amountChart(each) : each.at ? seriesChart(each, each.at) : pairChart(each)
    const before = all.get(chart.title)
    all.set(chart.title, before ? { ...before, points: [...before.points, ...chart.points] } : chart)
  }
  return [...all.values()]
}

const named = (title: string): { readonly title: string; readonly file: string } => ({
  title,
  file: title.toLowerCase().replace(/[^a-z0-9]+/g, '-')
})

function amountChart({ name, unit, amount }: Extract<Measured, { readonly unit: string }>): Chart {
  const [, title = name, part = ''] = /^(.*), (p[\d.]+)$/.exec(name) ?? []
  return { ...named(title), unit, points: [{ label: part, spread: amount }] }
}

type Rated = Exclude<Measured, { readonly unit: string }>

function pairChart({ name, rate, raw }: Rated): Chart {
  const beside = / beside (.+)$/.exec(name)?.[1] ?? 'raw'
  const points = [{ label: 'ours', spread: rate }]
  if (raw) points.push({ label: beside, spread: raw.rate })
  return { ...named(name), unit: 'records/s', points }
}

/** `growth kafka 64 partitions` is a point of `growth kafka, by partitions`. */
function seriesChart({ name, rate }: Rated, { axis, value }: NonNullable<Rated['at']>): Chart {
  const title = `${name.replace(/ [\d,]+ \w+$/, '')}, by ${axis}`
  return { ...named(title), unit: 'records/s', axis, points: [{ label: value.toLocaleString('en-US'), spread: rate }] }
}

const [width, lineHeight] = [640, 320]
const grey = '#444'

/** The chart as text of an SVG file. */
export function draw(chart: Chart): string {
  const height = chart.axis ? lineHeight : 110 + 46 * chart.points.length
  const view = init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    view.setOption(chart.axis ? line(chart) : bars(chart))
    return `${steady(view.renderToSVGString())}\n`
  } finally {
    view.dispose()
  }
}

/** The library numbers its names over all charts that it draws: a file must not change with those before it. */
function steady(svg: string): string {
  const names = new Map<string, string>()
  return svg.replace(/\bzr\d+-[a-z]+-?\d+/g, name => {
    if (!names.has(name)) names.set(name, `zr-${names.size}`)
    return names.get(name)!
  })
}

function common({ title }: Chart): EChartsCoreOption {
  return {
    animation: false,
    backgroundColor: '#fff',
    textStyle: { fontFamily: 'sans-serif' },
    title: { text: title, left: 'center', textStyle: { fontSize: 14 } },
    grid: { left: 24, right: 56, top: 44, bottom: 36, containLabel: true }
  }
}

const short = { formatter: (value: number): string => rounded(value) }

function bars(chart: Chart): EChartsCoreOption {
  const { points, unit } = chart
  const data = points.map(({ spread }) => spread.median)
  return {
    ...common(chart),
    xAxis: { type: 'value', name: unit, nameLocation: 'middle', nameGap: 24, axisLabel: short },
    yAxis: { type: 'category', inverse: true, data: points.map(({ label }) => label) },
    series: [
      {
        type: 'bar',
        barMaxWidth: 24,
        data,
        label: { show: true, position: 'insideLeft', formatter: ({ value }: { value: number }) => rounded(value) }
      },
      whiskers(chart, true)
    ]
  }
}

function line(chart: Chart): EChartsCoreOption {
  const { points, unit, axis } = chart
  return {
    ...common(chart),
    xAxis: {
      type: 'category',
      name: axis,
      nameLocation: 'middle',
      nameGap: 24,
      data: points.map(({ label }) => label)
    },
    yAxis: { type: 'value', name: unit, min: 0, axisLabel: short },
    series: [{ type: 'line', data: points.map(({ spread }) => spread.median) }, whiskers(chart, false)]
  }
}

/** What a custom series of echarts is given to place its parts. */
interface Place {
  value(dimension: number): number
  coord(point: readonly [number, number]): [number, number]
}

/** The range of each value, least to most. */
function whiskers({ points }: Chart, horizontal: boolean): object {
  const end = 5
  return {
    type: 'custom',
    z: 10,
    data: points.map(({ spread }, index) => [index, spread.least, spread.most]),
    encode: horizontal ? { y: 0, x: [1, 2] } : { x: 0, y: [1, 2] },
    renderItem(_: unknown, place: Place) {
      const [index, least, most] = [place.value(0), place.value(1), place.value(2)]
      const at = (value: number): [number, number] => place.coord(horizontal ? [value, index] : [index, value])
      const [[fromX, fromY], [toX, toY]] = [at(least), at(most)]
      const stroke = (x1: number, y1: number, x2: number, y2: number): object => ({
        ...{ type: 'line', shape: { x1, y1, x2, y2 }, style: { stroke: grey, lineWidth: 1.5 } }
      })
      const across = (x: number, y: number): object =>
        horizontal ? stroke(x, y - end, x, y + end) : stroke(x - end, y, x + end, y)
      return { type: 'group', children: [stroke(fromX, fromY, toX, toY), across(fromX, fromY), across(toX, toY)] }
    }
  }
}
