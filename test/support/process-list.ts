// The processes of this machine, from /proc where there is one, else from ps. Zombies are left out: they have ended.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

export interface ListedProcess {
  pid: number;
  parentPid: number;
  /** With its arguments. */
  command: string;
}

function readProc(pid: number): ListedProcess | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything; after it come the state and the parent.
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === 'Z' || state === 'X') return null;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return { pid, parentPid: Number(parent), command };
  } catch {
    return null;
  }
}

function listByProc(): ListedProcess[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => readProc(Number(pid))).filter((found) => found !== null);
}

function listByPs(): ListedProcess[] {
  const table = execFileSync('ps', ['-axww', '-o', 'pid=,ppid=,stat=,command='], { encoding: 'utf8' });
  return [...table.matchAll(/^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/gm)]
    .filter(([, , , state = '']) => !state.startsWith('Z'))
    .map(([, pid, parent, , command = '']) => ({ pid: Number(pid), parentPid: Number(parent), command }));
}

export const listProcesses = (): ListedProcess[] =>
  existsSync('/proc/self/stat') ? listByProc() : listByPs();

/** Everything that a process has started and that still runs, its children's children included. */
export function descendantsOf(pid: number): ListedProcess[] {
  const all = listProcesses();
  const below = (parent: number): ListedProcess[] =>
    all.filter((each) => each.parentPid === parent).flatMap((each) => [each, ...below(each.pid)]);
  return below(pid);
}

/** Processes with this text in their command line, such as a data directory that only one test knows. */
export const processesNaming = (text: string): ListedProcess[] =>
  listProcesses().filter(({ pid, command }) => pid !== process.pid && command.includes(text));

export const isRunning = (pid: number): boolean => listProcesses().some((each) => each.pid === pid);
