// `npm test`: runs every check and suite within its budget, then prints a table and, as the last line, `N passed, N failed`.
// `npm test -- api guide` runs only the named suites. TEST_LONG=1 runs the long forms.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runWithin } from './run-within.mjs';
import { CHECKS, PREPARATIONS, SUITES } from './test-suites.mjs';

const isLong = process.env.TEST_LONG === '1';
const isCi = Boolean(process.env.CI);
const wanted = process.argv.slice(2);
const reports = mkdtempSync(join(tmpdir(), 'openclaw-reports-'));

/** PostgreSQL's directory in Debian's package. */
const POSTGRES_DIR = '/usr/lib/postgresql';
const REDIS_SERVER = '/usr/bin/redis-server';

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop.abort());

const budgetOf = ({ budgetMinutes, longBudgetMinutes }) => (isLong && longBudgetMinutes) || budgetMinutes;

/** Problems of a run beyond its test results. */
function complaints({ name, ...suite }, { timedOut, leftOver }) {
  const lines = leftOver.map((commandLine) => `${name} left a process running: ${commandLine.slice(0, 160)}`);
  if (timedOut) return [`${name} was killed: it is over its budget of ${budgetOf(suite)} minutes`];
  return lines;
}

async function run(suite, command, args, env = {}) {
  console.log(`\n=== ${suite.name}`);
  return runWithin({ command, args, env, budgetMs: budgetOf(suite) * 60_000, signal: stop.signal });
}

/** A check or preparation that passes or fails as a whole. */
async function runStep(step) {
  const outcome = await run(step, 'npm', ['run', '--silent', step.script]);
  const problems = complaints(step, outcome);
  const ok = outcome.code === 0 && problems.length === 0;
  return { ...outcome, ...step, problems, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

const testFiles = readdirSync('test', { recursive: true })
  .filter((path) => path.endsWith('.test.ts') && !path.split('/').includes('tmp'))
  .filter((path) => isLong || !path.endsWith('.long.test.ts'))
  .sort();

function filesOf(suite) {
  if (suite.sameAs) return filesOf(SUITES.find(({ name }) => name === suite.sameAs));
  const belongs = (path) =>
    SUITES.find(({ folders }) => folders?.some((folder) => inFolder(path, folder))) === suite;
  return testFiles.filter(belongs).map((path) => join('test', path));
}

const inFolder = (path, folder) => folder === '' || path.startsWith(`${folder}/`);

async function runSuite(suite) {
  const files = filesOf(suite);
  if (files.length === 0) return didNotRun(suite, 'it has no test files');
  const report = join(reports, `${suite.name}.json`);
  const jest = [
    'node_modules/jest/bin/jest.js',
    '--ci',
    '--json',
    `--outputFile=${report}`,
    ...(suite.workers ? [`--maxWorkers=${suite.workers}`] : []),
    '--runTestsByPath',
  ];
  const env = {
    ...(suite.temporal === false ? { TEST_TEMPORAL: 'none' } : {}),
    ...(suite.database ? { TEST_DATABASE: suite.database } : {}),
  };
  const outcome = await run(suite, process.execPath, [...jest, ...files], env);
  const counts = readReport(report);
  const problems = complaints(suite, outcome);
  // A failure outside the tests: the setup, an open handle, Jest itself.
  if (outcome.code !== 0 && counts.failed === 0 && problems.length === 0)
    problems.push(`${suite.name} ended with exit code ${outcome.code}`);
  return { ...outcome, ...suite, ...counts, problems, failed: counts.failed + problems.length };
}

function readReport(path) {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'));
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
      skipped: report.numPendingTests + report.numTodoTests,
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

/** In CI everything has to run. Elsewhere a tool may be missing, and the summary says so. */
function didNotRun(suite, reason) {
  const problems = [`${suite.name} did not run: ${reason}`];
  return { ...suite, seconds: 0, problems, passed: 0, failed: isCi ? 1 : 0, skipped: isCi ? 0 : 1 };
}

const isWanted = ({ name }) => wanted.length === 0 || wanted.includes(name);

async function runAll() {
  const results = [];
  for (const check of CHECKS.filter(isWanted)) results.push(await runStep(check));
  const suites = SUITES.filter(isWanted);
  if (suites.length === 0) return results;
  const prepared = {
    build: await runStep(PREPARATIONS.build),
    temporal: await runStep(PREPARATIONS.temporal),
  };
  for (const tool of ['schemathesis', 'goTools', 'newerNode'])
    if (suites.some((suite) => suite[tool])) prepared[tool] = await runStep(PREPARATIONS[tool]);
  const { build, ...others } = prepared;
  results.push(build, ...Object.values(others).filter(({ failed }) => isCi || failed === 0));
  for (const suite of suites) {
    const obstacle = obstacleOf(suite, prepared);
    results.push(obstacle ? didNotRun(suite, obstacle) : await runSuite(suite));
  }
  return results;
}

/** The reason a suite can't run, or undefined. */
function obstacleOf({ temporal: needsTemporal, database, ...needs }, { build, temporal, ...tools }) {
  if (stop.signal.aborted) return 'the run was stopped';
  if (build.failed > 0) return 'the build failed';
  if (temporal.failed > 0 && needsTemporal !== false) return 'there is no Temporal binary on this machine';
  if (needs.schemathesis && tools.schemathesis.failed > 0)
    return 'schemathesis could not be installed (it needs Python 3.10 or newer: apt-get install python3-venv)';
  if (database === 'postgres' && !existsSync(POSTGRES_DIR))
    return 'PostgreSQL is not installed (apt-get install postgresql)';
  if (needs.goTools && tools.goTools.failed > 0)
    return 'the tools in Go could not be built (they need Go 1.21 or newer: apt-get install golang-go)';
  if (needs.newerNode && tools.newerNode.failed > 0) return 'newer versions of Node could not be fetched';
  if (needs.redis && !existsSync(REDIS_SERVER))
    return 'Redis is not installed (apt-get install redis-server)';
}

function print(results) {
  console.log('\nsuite              passed  failed  skipped  seconds  budget');
  for (const result of results) {
    const { name, passed, failed, skipped, seconds } = result;
    const cells = [
      [passed, 8],
      [failed, 8],
      [skipped, 9],
      [seconds.toFixed(1), 9],
      [budgetOf(result) * 60, 8],
    ];
    console.log(name.padEnd(17) + cells.map(([value, width]) => String(value).padStart(width)).join(''));
  }
  console.log();
  for (const problem of results.flatMap(({ problems }) => problems)) console.log(problem);
}

function unknownNames() {
  const known = [...CHECKS, ...SUITES].map(({ name }) => name);
  return wanted.filter((name) => !known.includes(name));
}

if (unknownNames().length > 0) throw new Error(`No suite is called ${unknownNames().join(', ')}`);
const results = await runAll();
rmSync(reports, { recursive: true, force: true });
print(results);
const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
const failed = total('failed') + (stop.signal.aborted ? 1 : 0);
const skipped = total('skipped') > 0 ? `, ${total('skipped')} skipped` : '';
console.log(`${total('passed')} passed, ${failed} failed${skipped}`);
process.exitCode = failed === 0 ? 0 : 1;
