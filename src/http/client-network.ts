// Names the network of a client. A household or server gets a whole /64 of IPv6, so all its addresses count as one.
import { isIPv6 } from 'node:net';

/** Prefixes with an IPv4 address in the last 32 bits: v4-mapped, and NAT64. */
const HOLDS_IPV4 = ['0:0:0:0:0:ffff', '64:ff9b:0:0:0:0'];

/** @returns an IPv4 address, or an IPv6 network such as `2001:db8:0:1::/64`. */
export function networkOf(address = ''): string {
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return plain;
  const groups = groupsOf(plain);
  if (HOLDS_IPV4.includes(groups.slice(0, 6).join(':'))) return ipv4Of(groups);
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** All eight groups, in lower case and without leading zeros. */
function groupsOf(address: string): string[] {
  // The URL parser normalizes every spelling of an address.
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = [], tail = []] = text.split('::').map((part) => part.split(':').filter(Boolean));
  return [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
}

function ipv4Of(groups: readonly string[]): string {
  return groups
    .slice(6)
    .map((group) => Number.parseInt(group, 16))
    .flatMap((bits) => [bits >> 8, bits & 0xff])
    .join('.');
}
