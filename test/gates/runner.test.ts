// What `npm test` promises of a suite that hangs: it is ended at its budget, with everything that it has started.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isRunning } from '../support/process-list.ts';

const PROJECT = resolve(__dirname, '../..');

/** Runs a script as a suite is run. @returns what the runner says, and the pid of the process that the script started. */
function runScript(script: string, budgetMs: number) {
  const pidFile = join(process.env.TMPDIR ?? '/tmp', `planted-${process.pid}-${budgetMs}`);
  const program = `
    import { runWithin } from ${JSON.stringify(join(PROJECT, 'scripts', 'run-within.mjs'))};
    const args = ['-e', ${JSON.stringify(`const PID_FILE = ${JSON.stringify(pidFile)};${script}`)}];
    const { signal } = new AbortController();
    const outcome = await runWithin({ command: process.execPath, args, env: {}, budgetMs: ${budgetMs}, signal });
    console.log(JSON.stringify(outcome));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  return { outcome: JSON.parse(stdout), pid: Number(readFileSync(pidFile, 'utf8')) };
}

/** Detached and without our environment, as the embedded Temporal server is. */
const START_SLEEPER = `
  const { spawn } = require('node:child_process');
  const args = ['-e', 'setInterval(() => {}, 1000)', process.env.TMPDIR];
  const child = spawn(process.execPath, args, { detached: true, env: {}, stdio: 'ignore' });
  require('node:fs').writeFileSync(PID_FILE, String(child.pid));
  child.unref();`;

test('a command that hangs is killed at its budget, and so is what it has detached', () => {
  const { outcome, pid } = runScript(`${START_SLEEPER} setInterval(() => {}, 1000);`, 1_500);
  expect(outcome).toMatchObject({ timedOut: true, code: null });
  expect(isRunning(pid)).toBe(false);
});

test('a command that ends but leaves a process behind is told so, and the process is ended', () => {
  const { outcome, pid } = runScript(START_SLEEPER, 20_000);
  expect(outcome).toMatchObject({ timedOut: false, code: 0 });
  expect(outcome.leftOver).toHaveLength(1);
  expect(isRunning(pid)).toBe(false);
});
