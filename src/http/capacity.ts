// The connection limit of this process, and the share of each client. Without free descriptors a process can neither call the
// model nor start a calculator, so some stay reserved.
import { readFileSync } from 'node:fs';

/** A higher limit is a question of memory: an open stream costs up to 100 KiB. */
const CONNECTIONS_MAX_DEFAULT = 10_000;

/** An idle process holds about 60 descriptors. Model calls, webhooks, database connections and calculators add more. */
const RESERVED_MIN = 128;
const RESERVED_SHARE = 1 / 4;

/** Keeps a server usable if its descriptor limit is very small. */
const CONNECTIONS_MIN = 16;

export interface Capacity {
  /** All connections of the process. */
  connections: number;
  /** Idle connections of one network. Beyond this limit the oldest makes room for the next. */
  idlePerNetwork: number;
  /** Streams, WebSockets and waiting calls of one network. */
  openPerNetwork: number;
  /** The same limit for one API key with its client tokens. */
  openPerKey: number;
  /** The same limit for one client token. */
  openPerToken: number;
}

/** @param wanted The operator's setting, or null for the default. The result never exceeds the process's descriptors. */
export function capacityOf(wanted: number | null, descriptors = descriptorLimit()): Capacity {
  const reserved = Math.max(RESERVED_MIN, Math.ceil(descriptors * RESERVED_SHARE));
  const possible = Math.max(CONNECTIONS_MIN, Number.isFinite(reserved) ? descriptors - reserved : Infinity);
  const connections = Math.min(wanted ?? CONNECTIONS_MAX_DEFAULT, possible);
  const share = (part: number) => Math.max(2, Math.floor(connections * part));
  return {
    connections,
    idlePerNetwork: share(1 / 4),
    openPerNetwork: share(3 / 4),
    openPerKey: share(1 / 2),
    openPerToken: share(1 / 8),
  };
}

/** Node has raised its soft limit to the hard limit. Systems without /proc have limits that nobody reaches. */
function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}
