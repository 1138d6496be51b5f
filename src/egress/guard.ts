// Decides where a request may go. A URL from a client must not reach services that only this server can reach.
import { promises as dns, type LookupAddress } from 'node:dns';
import { type Address, isPublic, unwrapped } from './addresses.ts';
import type { AllowList } from './allow-list.ts';

/** The reason for refusing a request. The text never shows resolved addresses, because they would map a private network. */
export class EgressRefused extends Error {
  override readonly name = 'EgressRefused';
}

/** Resolves a name to all its addresses. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>;

/** Resolves like any program on this machine, the hosts file included. */
export const resolveName: Resolve = (hostname) => dns.lookup(hostname, { all: true, verbatim: true });

/** The same text for an unknown name and for an internal one, so that callers can't tell them apart. */
const NO_ADDRESS = 'its host has no public address';

const DEFAULT_PORTS: Record<string, number> = { 'http:': 80, 'https:': 443 };
const PORTS = new Set(Object.values(DEFAULT_PORTS));

const portOf = ({ port, protocol }: URL): number =>
  port === '' ? (DEFAULT_PORTS[protocol] ?? 0) : Number(port);

/** The host without the brackets of an IPv6 address. */
const bareHost = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');

/** Checks a URL without a DNS query. @throws {EgressRefused} */
function checkForm(url: URL): void {
  if (DEFAULT_PORTS[url.protocol] === undefined) throw new EgressRefused('it must be an https URL');
  if (url.username !== '' || url.password !== '')
    throw new EgressRefused('it must not hold a user name or a password');
  if (url.hostname === '') throw new EgressRefused('it must name a host');
}

async function addressesOf(url: URL, resolve: Resolve): Promise<Address[]> {
  const literal = unwrapped(bareHost(url));
  if (literal) return [literal];
  const answers = await resolve(bareHost(url)).catch(() => []);
  return answers.flatMap(({ address }) => unwrapped(address) ?? [{ address: '::', family: 6 as const }]);
}

const isLocalName = ({ hostname }: URL): boolean => /(^|\.)localhost\.?$/i.test(hostname);

/**
 * Checks a URL before any request to it. Ordinary URLs need no DNS query: the name may change until a request, and each request
 * is checked anyway.
 * @throws {EgressRefused}
 */
export async function checkTarget(url: URL, allowed: AllowList, resolve: Resolve): Promise<void> {
  checkForm(url);
  const isOrdinary = url.protocol === 'https:' && PORTS.has(portOf(url)) && !isLocalName(url);
  if (!isOrdinary || unwrapped(bareHost(url))) await allowedAddresses(url, allowed, resolve);
}

/**
 * The addresses a request to this URL may dial: all addresses of the host, or none.
 * Ports other than 80 and 443, plain http and private addresses need an entry in the allow list.
 * @throws {EgressRefused}
 */
export async function allowedAddresses(url: URL, allowed: AllowList, resolve: Resolve): Promise<Address[]> {
  checkForm(url);
  const [hostname, port] = [url.hostname, portOf(url)];
  const addresses = await addressesOf(url, resolve);
  const isListed = (address: Address) => allowed.includes({ hostname, port, address });
  if (addresses.length > 0 && addresses.every(isListed)) return addresses;
  // In this order, the error depends on the URL alone as far as possible.
  if (url.protocol !== 'https:') throw new EgressRefused('it must be an https URL');
  if (!PORTS.has(port)) throw new EgressRefused('its port must be 443 or 80');
  if (addresses.length === 0 || !addresses.every((address) => isPublic(address) || isListed(address)))
    throw new EgressRefused(NO_ADDRESS);
  return addresses;
}
