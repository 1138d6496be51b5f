// How many connections this process takes, and which share of them one client may hold. A process without free descriptors can
// neither call the model nor start a calculator, so a part of them stays reserved for its own work.
import { readFileSync } from 'node:fs';

/** More would be a question of memory: an open stream costs up to 100 KiB. */
const CONNECTIONS_MAX_DEFAULT = 10_000;

/** At rest a process holds about 60 descriptors. Model calls, webhooks, database connections and calculators come on top. */
const RESERVED_MIN = 128;
const RESERVED_SHARE = 1 / 4;

/** Without it a server on a very small limit would serve nobody. */
const CONNECTIONS_MIN = 16;

export interface Capacity {
  /** Connections in all. */
  connections: number;
  /** Connections of one network on which no request is being answered; the oldest makes room for the next. */
  idlePerNetwork: number;
  /** Streams, WebSockets and waiting calls of one network. */
  openPerNetwork: number;
  /** The same of one API key, with its client tokens. */
  openPerKey: number;
  /** The same of one client token. */
  openPerToken: number;
}

/** @param wanted What the operator set; null for the default. Never more than the process has descriptors for. */
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

/** Node has raised its soft limit to the hard one. Systems without /proc have limits that nobody reaches. */
function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}
