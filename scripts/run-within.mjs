// Runs a command within a budget and ends every process the command has started, however the command ends.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

// Stopping processes may need a moment. The embedded Temporal server gets 3 s before it is killed.
const LEFT_OVER_GRACE_MS = 5_000;
const LEFT_OVER_POLL_MS = 100;

/**
 * Gives the command a directory of its own as TMPDIR. The environment or the command line of each of its processes names this
 * directory. Processes in a separate process group, which the command itself can no longer end, are found by this name.
 * @returns {Promise<{ code: number | null, timedOut: boolean, leftOver: string[], seconds: number }>}
 */
export async function runWithin({ command, args, env, budgetMs, signal }) {
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-run-'));
  // PostgreSQL refuses to run as root. As another user, it must reach its own directory below this one.
  chmodSync(directory, 0o711);
  const startedAt = Date.now();
  let timedOut = false;
  try {
    const child = spawn(command, args, {
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env, TMPDIR: directory },
    });
    const kill = () => killGroup(child.pid);
    const timer = setTimeout(() => {
      timedOut = true;
      kill();
    }, budgetMs);
    signal.addEventListener('abort', kill, { once: true });
    const code = await new Promise((done) => {
      child.once('error', (error) => done(console.error(error.message) ?? null));
      child.once('exit', (exitCode) => done(exitCode));
    });
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
    const mayStop = !timedOut && !signal.aborted;
    const leftOver = await endLeftOvers(directory, mayStop ? LEFT_OVER_GRACE_MS : 0);
    return { code, timedOut, leftOver, seconds: (Date.now() - startedAt) / 1_000 };
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** @returns the command lines of the killed processes. */
async function endLeftOvers(directory, graceMs) {
  const deadline = Date.now() + graceMs;
  while (processesNaming(directory).length > 0 && Date.now() < deadline) await sleep(LEFT_OVER_POLL_MS);
  const killed = [];
  // Repeats until no process is found, because a process may start another just before its end.
  for (let found = processesNaming(directory); found.length > 0; found = processesNaming(directory)) {
    for (const { pid, commandLine } of found) {
      killed.push(commandLine);
      killOne(pid);
    }
    await sleep(LEFT_OVER_POLL_MS);
  }
  return [...new Set(killed)];
}

function processesNaming(text) {
  const all = existsSync('/proc/self/environ') ? processesFromProc() : processesFromPs();
  return all.filter((each) => each.pid !== process.pid && each.all.includes(text));
}

function processesFromProc() {
  const read = (pid, file) => readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const commandLine = read(pid, 'cmdline');
        return [{ pid: Number(pid), commandLine, all: commandLine + read(pid, 'environ') }];
      } catch {
        return []; // The process has ended, or belongs to another user.
      }
    });
}

function processesFromPs() {
  const lines = execFileSync('ps', ['axeww', '-o', 'pid=,command='], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  return lines.split('\n').map((line) => {
    const [pid] = line.trim().split(' ', 1);
    return { pid: Number(pid), commandLine: line.trim().slice(0, 200), all: line };
  });
}

function killGroup(pid) {
  if (pid !== undefined) killOne(-pid);
}

function killOne(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
