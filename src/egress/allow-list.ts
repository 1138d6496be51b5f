// Private targets allowed by the operator: `OPENCLAW_EGRESS_ALLOW`, a list of hosts and subnets.
import { BlockList, isIP } from 'node:net';
import { type Address, addSubnet, isIn, subnets } from './addresses.ts';

/** This machine, for installations whose webhook receivers run beside the server. */
export const LOOPBACK = ['127.0.0.0/8', '[::1]'];

/** Every address of this machine. The unspecified addresses lead here as well. */
const loopback = subnets(['127.0.0.0/8', '::1', '0.0.0.0', '::']);

interface Entry {
  /** A host name. All addresses of the name are allowed. Null for a subnet. */
  host: string | null;
  addresses: BlockList;
  /** Null: every port. */
  port: number | null;
}

export interface AllowList {
  /** True if a target with this name, port and address is on the list. */
  includes(target: { hostname: string; port: number; address: Address }): boolean;
}

const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;
const PORT_MAX = 65_535;

const prefixMax = (network: string): number => (isIP(network) === 6 ? 128 : 32);

/** True for an address, or an address with a prefix length. */
export function isSubnet(text: string): boolean {
  const [network = '', prefix, ...more] = text.split('/');
  if (isIP(network) === 0 || network.includes('%') || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= prefixMax(network));
}

/** `host`, `host:port`, `10.0.0.0/8`, `10.0.0.1:8080`, `fd00::/8`, `[fd00::1]:8080`. @returns undefined for anything else. */
function parse(text: string): Entry | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const isBareV6 = isSubnet(text) && text.includes(':');
  const target = (isBareV6 ? text : (bracketed ?? plain))?.toLowerCase();
  const port = portText === undefined || isBareV6 ? null : Number(portText);
  if (target === undefined || (port !== null && (port < 1 || port > PORT_MAX))) return undefined;
  const addresses = new BlockList();
  if (isSubnet(target)) {
    addSubnet(addresses, target);
    return { host: null, addresses, port };
  }
  // Digits and dots are a mistyped address, and a resolver would read such a name as an address.
  if (bracketed !== undefined || !NAME.test(target) || /^[\d.]+$/.test(target)) return undefined;
  return { host: target, addresses, port };
}

/** @returns the entries that are neither a host nor a subnet. */
export const mistakesIn = (entries: readonly string[]): string[] =>
  entries.filter((entry) => parse(entry) === undefined);

const isMeant = (entry: Entry, hostname: string, address: Address): boolean =>
  entry.host === null ? isIn(entry.addresses, address) : entry.host === hostname;

/**
 * @param entries Entries without mistakes, see `mistakesIn`.
 * @param never Ports of this machine to refuse despite the entries, because the services there trust every caller.
 */
export function createAllowList(entries: readonly string[], never: readonly number[] = []): AllowList {
  const parsed = entries.flatMap((entry) => parse(entry) ?? []);
  return {
    includes({ hostname, port, address }) {
      const name = hostname.toLowerCase().replace(/\.$/, '');
      if (never.includes(port) && isIn(loopback, address)) return false;
      return parsed.some(
        (entry) => (entry.port === null || entry.port === port) && isMeant(entry, name, address),
      );
    },
  };
}
