// Identifies a process, to tell it from a later process with the same pid, and ends it. Only the ending is asynchronous. A server
// is recorded in the same turn of the event loop as its start, so a kill -9 can't come in between.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

// The dev server ignores SIGTERM while pollers are attached. Our pollers have stopped by then, but other programs may poll, too.
const SIGTERM_GRACE_MS = 3_000;

// The kernel ends a killed process immediately, unless it waits for a disk that doesn't respond.
const SIGKILL_GRACE_MS = 10_000;

const GONE_POLL_MS = 20;

export interface ProcessIdentity {
  pid: number;
  /** When the process started, in the system's own format. Only compare it. */
  startTime: string;
}

/** @returns null if there is no such process, or only its zombie. @throws Error if the system can't be queried. */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const startTime = existsSync('/proc/self/stat') ? startTimeFromProc(pid) : startTimeFromPs(pid);
  return startTime ? { pid, startTime } : null;
}

/** If a process can't be inspected (for lack of free descriptors here), it counts as running while its pid is in use. */
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

/** Error codes of reading /proc when the process ends before or during the read. */
const GONE = ['ENOENT', 'ESRCH'];

function startTimeFromProc(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold spaces and parentheses itself. Fields 3 (state) to 22 (start time) follow.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, threads, startTime] = [fields[0], Number(fields[17]), fields[19]];
    // A process with a zombie main thread keeps its ports and files until its last thread has ended.
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
  // `ps` exits with 1 if there is no such process.
  return status !== 0 || !line || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '');
}

/** Resolves when the process has ended: SIGTERM, then SIGKILL after 3 s. */
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
