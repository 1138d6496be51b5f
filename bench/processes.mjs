// The cost of a process tree, from Linux's /proc: CPU time, and memory with shared pages counted once (PSS).
import { readdirSync, readFileSync } from 'node:fs';

const CLOCK_TICK_MS = 10;

function statOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS };
}

/** A process may end between two reads. */
function orNothing(read) {
  try {
    return [read()];
  } catch {
    return [];
  }
}

function treeOf(roots) {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => orNothing(() => ({ pid: Number(name), ...statOf(name) })));
  const found = new Map(all.filter(({ pid }) => roots.includes(pid)).map((each) => [each.pid, each]));
  for (let size = -1; size !== found.size; ) {
    size = found.size;
    for (const each of all) if (found.has(each.parent)) found.set(each.pid, each);
  }
  return [...found.values()];
}

const pssOf = (pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** @param roots process ids. Their descendants count too. */
export function usageOf(roots) {
  const tree = treeOf(roots);
  return {
    cpuMs: sum(tree.map(({ cpuMs }) => cpuMs)),
    memoryMiB: sum(tree.flatMap(({ pid }) => orNothing(() => pssOf(pid)))) / 1024,
  };
}

/** CPU time of each root with its descendants, in milliseconds. */
export const cpuOf = (roots) => roots.map((root) => sum(treeOf([root]).map(({ cpuMs }) => cpuMs)));
export const loadAverage = () => Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
