// `npm run report:durability`: runs the measuring suites and writes their figures to docs/durability.md. The suites run in their
// long forms, because the short forms lack some measurements. DURABILITY_SECONDS, DURABILITY_ROUNDS and DURABILITY_SEED change
// the run.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { runWithin } from './run-within.mjs';

const PAGE = 'docs/durability.md';
const BEGIN = '<!-- made by npm run report:durability -->';
const END = '<!-- end of what was made -->';
/** The random kills alone take ten minutes per installation. */
const BUDGET_MS = 90 * 60_000;

const FILES = [
  'random-kills.test.ts',
  'recovery.long.test.ts',
  'several-processes.test.ts',
  'outages.test.ts',
];

const TITLES = {
  random: 'Processes killed and stopped at random',
  webhooks: 'Events of these runs, and what their webhook was sent',
  recovery: '`dev` on SQLite: from the ready line to the next word of an interrupted turn',
  several:
    'Two `api` and two `worker` processes on PostgreSQL: from the harm to the next word of an interrupted turn',
  rolling: 'A rolling restart under load',
  outages: 'What it stands on is stopped, or its disk is full',
};

async function measure(figures) {
  const files = FILES.map((file) => `test/durability/${file}`);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop.abort());
  const { code, leftOver } = await runWithin({
    command: process.execPath,
    args: ['node_modules/jest/bin/jest.js', '--ci', '--runTestsByPath', ...files],
    env: { ...process.env, TEST_LONG: '1', TEST_TEMPORAL: 'none', DURABILITY_FIGURES: figures },
    budgetMs: BUDGET_MS,
    signal: stop.signal,
  });
  if (code !== 0) throw new Error('The suites failed: the page stays as it is');
  if (leftOver.length > 0) throw new Error(`Processes were left running: ${leftOver.join('; ')}`);
}

const load = () => loadavg()[0].toFixed(1);

function version(command, args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function conditions(loadBefore) {
  const commit = version('git', ['rev-parse', '--short', 'HEAD']);
  const memory = Math.round(totalmem() / 2 ** 30);
  const postgres = existsSync('/usr/lib/postgresql')
    ? version('sh', ['-c', 'ls /usr/lib/postgresql | sort -n | tail -1'])
    : 'none';
  return [
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}, Node ${process.versions.node}, PostgreSQL ${postgres},`,
    `${cpus().length} cores (${cpus()[0]?.model.trim() || 'unknown'}), ${memory} GB. Load of the machine before the run ${loadBefore}, after it ${load()}:`,
    'clients, model and everything that is harmed run on it together.',
  ].join(' ');
}

function tableOf(rows) {
  const names = Object.keys(rows[0]);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line(names),
    line(names.map(() => '---')),
    ...rows.map((row) => line(names.map((name) => row[name] ?? ''))),
  ].join('\n');
}

function render(figures, loadBefore) {
  const found = readFileSync(figures, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const sections = Object.entries(TITLES).map(([table, title]) => {
    const rows = found.filter((each) => each.table === table).flatMap((each) => each.rows);
    return rows.length === 0 ? '' : `### ${title}\n\n${tableOf(rows)}\n`;
  });
  return `${conditions(loadBefore)}\n\n${sections.filter(Boolean).join('\n')}`;
}

function write(text) {
  const page = readFileSync(PAGE, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const [, after] = (rest ?? '').split(END);
  if (after === undefined) throw new Error(`${PAGE} has lost its markers`);
  writeFileSync(PAGE, `${before}${BEGIN}\n\n${text}\n${END}${after}`);
}

const directory = mkdtempSync(join(tmpdir(), 'openclaw-figures-'));
const figures = join(directory, 'figures.jsonl');
try {
  const loadBefore = load();
  await measure(figures);
  write(render(figures, loadBefore));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
