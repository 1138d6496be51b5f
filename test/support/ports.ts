// Ports for servers that the tests start.

import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isFree } from '../../src/temporal/free-ports.ts';

/** Below every system's ephemeral range (Linux: from 32,768), above the ports that well-known servers have. */
const FIRST = 15_000;
const END = 32_000;

const given = new Set<number>();

/**
 * A port that is free now and stays so until its server listens. Not one of the system's choosing (`listen(0)`): those
 * are handed out to outgoing connections too, so one could be some client's own end by the time the server starts.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

const LISTENING = '0A';

/** Of a descriptor that may be closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The TCP ports at which a process listens, from Linux's /proc. */
export function listeningPorts(pid: number): number[] {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  const sockets = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]).filter(Boolean));
  const lines = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`/proc/${pid}/net/${name}`, 'utf8').split('\n'),
  );
  const rows = lines.slice(1).map((line) => line.trim().split(/\s+/));
  // Columns: number, local address:port in hexadecimal, remote, state, ..., and the tenth is the inode.
  const own = rows.filter(([, , , state, , , , , , inode]) => state === LISTENING && sockets.has(inode));
  return [...new Set(own.map(([, local = '']) => Number.parseInt(local.split(':').at(-1) ?? '', 16)))];
}
