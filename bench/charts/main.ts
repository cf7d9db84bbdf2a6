/**
 * `npm run charts [-- RESULTS [FOLDER]]`: an SVG for each figure of `bench/report/results.json`, and `tables.md` with the tables of
 * `docs/performance.md`, beside it. The results are those of `npm run bench -- --json bench/report/results.json`.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { commandLine } from '../../scripts/options.ts'
import { charts, draw } from './draw.ts'
import { markdown, type Results } from './tables.ts'

const { positionals } = commandLine(import.meta.url, {}, true)
const [file = 'bench/report/results.json', folder = dirname(file)] = positionals

const results = JSON.parse(await readFile(file, 'utf8')) as Results
await mkdir(folder, { recursive: true })
// Figures that are no longer taken leave no chart behind.
for (const name of await readdir(folder)) if (name.endsWith('.svg')) await rm(join(folder, name))
const drawn = charts(results.figures)
for (const chart of drawn) await writeFile(join(folder, `${chart.file}.svg`), draw(chart))
await writeFile(join(folder, 'tables.md'), markdown(results))
console.log(`${drawn.length} charts and tables.md in ${folder}`)
