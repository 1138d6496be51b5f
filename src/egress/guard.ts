// Decides where a request may go. Who can name an address for the server to call must not reach what only the server can.
import { promises as dns, type LookupAddress } from 'node:dns';
import { type Address, isPublic, unwrapped } from './addresses.ts';
import type { AllowList } from './allow-list.ts';

/** Why a request is not made. It never tells what a name resolves to: that would map somebody's network. */
export class EgressRefused extends Error {
  override readonly name = 'EgressRefused';
}

/** Every address of a name. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>;

/** As any program on this machine would resolve it, the hosts file included. */
export const resolveName: Resolve = (hostname) => dns.lookup(hostname, { all: true, verbatim: true });

/** One sentence for a name that does not exist and for one that leads inside: neither is told from the other. */
const NO_ADDRESS = 'its host has no public address';

const DEFAULT_PORTS: Record<string, number> = { 'http:': 80, 'https:': 443 };
const PORTS = new Set(Object.values(DEFAULT_PORTS));

const portOf = ({ port, protocol }: URL): number =>
  port === '' ? (DEFAULT_PORTS[protocol] ?? 0) : Number(port);

/** Without the brackets that an IPv6 address has in a URL. */
const bareHost = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');

/** What can be said of a URL without asking anybody. @throws {EgressRefused} */
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
 * What can be said of a URL before anything is sent to it. An ordinary one asks no name server: its name may lead somewhere
 * else by then, and each request is checked as it is made.
 * @throws {EgressRefused}
 */
export async function checkTarget(url: URL, allowed: AllowList, resolve: Resolve): Promise<void> {
  checkForm(url);
  const isOrdinary = url.protocol === 'https:' && PORTS.has(portOf(url)) && !isLocalName(url);
  if (!isOrdinary || unwrapped(bareHost(url))) await allowedAddresses(url, allowed, resolve);
}

/**
 * The addresses that a request to this URL may dial: all that its host has, or none of them.
 * Ports other than 80 and 443, plain http and private addresses are for targets on the allow list.
 * @throws {EgressRefused}
 */
export async function allowedAddresses(url: URL, allowed: AllowList, resolve: Resolve): Promise<Address[]> {
  checkForm(url);
  const [hostname, port] = [url.hostname, portOf(url)];
  const addresses = await addressesOf(url, resolve);
  const isListed = (address: Address) => allowed.includes({ hostname, port, address });
  if (addresses.length > 0 && addresses.every(isListed)) return addresses;
  // Asked in this order, so that what is said depends on the URL alone as far as it can.
  if (url.protocol !== 'https:') throw new EgressRefused('it must be an https URL');
  if (!PORTS.has(port)) throw new EgressRefused('its port must be 443 or 80');
  if (addresses.length === 0 || !addresses.every((address) => isPublic(address) || isListed(address)))
    throw new EgressRefused(NO_ADDRESS);
  return addresses;
}
