// Separates public internet addresses from private, reserved and tunnelled ones. Only public addresses may be dialled by default.
import { BlockList, isIP } from 'node:net';

export interface Address {
  address: string;
  family: 4 | 6;
}

/** IANA's special-purpose registry for IPv4, and multicast. */
const RESERVED_V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];

/** The only globally assigned part of IPv6. Mapped, compatible, local and multicast addresses lie outside. */
const GLOBAL_V6 = '2000::/3';

/** Exceptions within `GLOBAL_V6`: protocol assignments with Teredo, documentation, 6to4. */
const RESERVED_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** Ranges of IPv6 addresses that stand for the IPv4 address in their last 32 bits: v4-mapped, and the well-known NAT64 prefix. */
const HOLDS_V4 = ['::ffff:0:0/96', '64:ff9b::/96'];

/** Adds a subnet such as `10.0.0.0/8`, or a single address. */
export function addSubnet(list: BlockList, subnet: string): void {
  const [network = '', prefix] = subnet.split('/');
  const family = isIP(network) === 6 ? 'ipv6' : 'ipv4';
  if (prefix === undefined) list.addAddress(network, family);
  else list.addSubnet(network, Number(prefix), family);
}

export function subnets(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) addSubnet(list, entry);
  return list;
}

const reservedV4 = subnets(RESERVED_V4);
const globalV6 = subnets([GLOBAL_V6]);
const reservedV6 = subnets(RESERVED_V6);
const holdsV4 = subnets(HOLDS_V4);

/** The last 32 bits of an IPv6 address, in dotted form. */
function lastFourBytes(address: string): string {
  // The URL parser normalizes every spelling of an address, with the last groups in hexadecimal.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(':');
  const [high = 0, low = 0] = groups.slice(-2).map((group) => Number.parseInt(group || '0', 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** The effective address: an IPv4 address embedded in IPv6 is extracted. */
export function unwrapped(text: string): Address | undefined {
  // A zone names an interface of this machine.
  if (text.includes('%')) return undefined;
  const family = isIP(text);
  if (family === 4) return { address: text, family };
  if (family !== 6) return undefined;
  return holdsV4.check(text, 'ipv6')
    ? { address: lastFourBytes(text), family: 4 }
    : { address: text, family };
}

export const isIn = (list: BlockList, { address, family }: Address): boolean =>
  list.check(address, family === 6 ? 'ipv6' : 'ipv4');

/** True for addresses on the public internet. */
export const isPublic = (address: Address): boolean =>
  address.family === 4 ? !isIn(reservedV4, address) : isIn(globalV6, address) && !isIn(reservedV6, address);
