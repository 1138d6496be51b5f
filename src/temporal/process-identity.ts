// Names a process so that it can be told from a later one with the same pid, and ends it. All of it is synchronous but the
// ending: a server is written down in the same turn of the event loop that started it, so that a kill -9 finds no gap.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

// The dev server does not end on SIGTERM while pollers are attached; ours have been stopped by then, other people's not.
const SIGTERM_GRACE_MS = 3_000;

// The kernel ends a killed process at once, unless it hangs in a disk that does not answer.
const SIGKILL_GRACE_MS = 10_000;

const GONE_POLL_MS = 20;

export interface ProcessIdentity {
  pid: number;
  /** Opaque, only to be compared: when the process started, in the words of this system. */
  startTime: string;
}

/** @returns null when there is no such process, or only its zombie. @throws Error when this system can't be asked. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const startTime = existsSync('/proc/self/stat') ? startTimeFromProc(pid) : startTimeFromPs(pid);
  return startTime ? { pid, startTime } : null;
}

/** A process that can't be looked at (this one has no free descriptors) counts as running while its pid is in use. */
export function isRunning(identity: ProcessIdentity): boolean {
  try {
    return identifyProcess(identity.pid)?.startTime === identity.startTime;
  } catch {
    return hasPid(identity.pid);
  }
}

/** Needs no descriptor. */
function hasPid(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** What reading /proc fails with when the process is gone, before or while it is read. */
const GONE = ['ENOENT', 'ESRCH'];

function startTimeFromProc(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold blanks and parentheses itself. After it come fields 3 (state) to 22 (start time).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, threads, startTime] = [fields[0], Number(fields[17]), fields[19]];
    // A zombie of a thread is no end yet: until the last of its threads has ended the process keeps its ports and files.
    const isGone = (state === 'Z' && threads <= 1) || state === 'X';
    return isGone ? null : (startTime ?? null);
  } catch (error) {
    if (GONE.includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

function startTimeFromPs(pid: number): string | null {
  const args = ['-o', 'stat=,lstart=', '-p', String(pid)];
  const { error, status, stdout } = spawnSync('ps', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (error) throw error;
  const line = stdout.trim();
  // `ps` ends with 1 when there is no such process.
  return status !== 0 || !line || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '');
}

/** Resolves when the process is gone: SIGTERM, then SIGKILL after 3 s. */
export async function endProcess(identity: ProcessIdentity): Promise<void> {
  send(identity, 'SIGTERM');
  if (await isGoneWithin(identity, SIGTERM_GRACE_MS)) return;
  send(identity, 'SIGKILL');
  if (await isGoneWithin(identity, SIGKILL_GRACE_MS)) return;
  throw new Error(`Process ${identity.pid} is still there ${SIGKILL_GRACE_MS / 1000} s after SIGKILL`);
}

function send(identity: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (!isRunning(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function isGoneWithin(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isRunning(identity)) {
    if (Date.now() > deadline) return false;
    await sleep(GONE_POLL_MS);
  }
  return true;
}
