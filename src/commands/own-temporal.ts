// A Temporal server that is the operator's own: whether it stands on this machine. It does what anybody asks who can reach it.
import { networkInterfaces } from 'node:os';
import { isLoopback } from '../egress/allow-list.ts';
import { addressesOf, type Resolve, resolveName } from '../egress/guard.ts';

/** What Temporal's client takes when no address is given, and its port when an address has none. */
const DEFAULT_HOST = 'localhost';
const DEFAULT_PORT = 7_233;

export interface TemporalPlace {
  isHere: boolean;
  /** Of its API; those of its UI and of whatever else it listens on are not known. */
  port: number;
}

const ownAddresses = (): Set<string> =>
  new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)));

/** @param address `host:port`, as in `TEMPORAL_ADDRESS`; one that can't be read may well be here. */
export async function placeOf(
  address = DEFAULT_HOST,
  resolve: Resolve = resolveName,
): Promise<TemporalPlace> {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  const own = ownAddresses();
  const isOwn = (found: { address: string; family: 4 | 6 }) => isLoopback(found) || own.has(found.address);
  const isHere = host === undefined || (await addressesOf(host, resolve)).some(isOwn);
  return { isHere, port: port === undefined ? DEFAULT_PORT : Number(port) };
}
