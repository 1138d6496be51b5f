// The TCP sockets of this machine, as Linux has them in /proc.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface TcpSocket {
  localPort: number;
  remotePort: number;
  state: 'established' | 'listening' | 'other';
  /** `0` once no process has it any more. */
  inode: string;
}

const STATES: Record<string, TcpSocket['state']> = { '01': 'established', '0A': 'listening' };
/** number: local address:port remote address:port state queues timer retransmissions uid timeout inode; addresses in hexadecimal. */
const ROW = /^ *\d+: \w+:(\w+) \w+:(\w+) (\w+) \S+ \S+ \S+ +\d+ +\d+ (\d+)/gm;

const portOf = (hex = ''): number => Number.parseInt(hex, 16);

export function tcpSockets(): TcpSocket[] {
  const tables = ['tcp', 'tcp6'].map((name) => readFileSync(`/proc/net/${name}`, 'utf8'));
  return tables.flatMap((table) =>
    [...table.matchAll(ROW)].map(([, local, remote, state = '', inode = '']) => ({
      localPort: portOf(local),
      remotePort: portOf(remote),
      state: STATES[state] ?? 'other',
      inode,
    })),
  );
}

/** Of a descriptor that may be closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The ports at which a process listens. */
export function listeningPorts(pid: number): number[] {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  const own = tcpSockets().filter(
    ({ state, inode }) => state === 'listening' && links.includes(`socket:[${inode}]`),
  );
  return [...new Set(own.map(({ localPort }) => localPort))];
}
