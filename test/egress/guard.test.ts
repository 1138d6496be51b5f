// Where requests may go: every spelling of a private address is refused, and every answer of the name server is checked.
import { createAllowList, LOOPBACK, mistakesIn } from '../../src/egress/allow-list.ts';
import { allowedAddresses, type Resolve } from '../../src/egress/guard.ts';

const PUBLIC_V4 = '93.184.216.34';
const PUBLIC_V6 = '2606:2800:220:1:248:1893:25c8:1946';

/** A name server of our own: nothing is asked for, and nothing is dialled. */
const names: Record<string, string[]> = {
  'public.example': [PUBLIC_V4, PUBLIC_V6],
  'private.example': ['10.1.2.3'],
  'mixed.example': [PUBLIC_V4, '192.168.1.1'],
  'mapped.example': ['::ffff:127.0.0.1'],
  'nat64.example': ['64:ff9b::5db8:d822'],
  'zone.example': ['fe80::1%eth0'],
  localhost: ['127.0.0.1', '::1'],
};
const resolve: Resolve = async (name) => {
  const found = names[name.replace(/\.$/, '')];
  if (!found) throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
  return found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
};

const ask = (url: string, entries: string[] = []) =>
  allowedAddresses(new URL(url), createAllowList(entries), resolve);
const addresses = async (url: string, entries: string[] = []) =>
  (await ask(url, entries)).map(({ address }) => address);

describe('without an allow list', () => {
  it('a public name may be called, at exactly the addresses that were checked', async () => {
    expect(await addresses('https://public.example/hook?x=1')).toEqual([PUBLIC_V4, PUBLIC_V6]);
    expect(await addresses('https://public.example:80/')).toEqual([PUBLIC_V4, PUBLIC_V6]);
    expect(await addresses(`https://${PUBLIC_V4}/`)).toEqual([PUBLIC_V4]);
    expect(await addresses(`https://[${PUBLIC_V6}]/`)).toEqual([PUBLIC_V6]);
  });

  it('an IPv4 address behind NAT64 is judged, and dialled, as itself', async () => {
    expect(await addresses('https://nat64.example/')).toEqual([PUBLIC_V4]);
  });

  test.each([
    ...[
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f000001',
      '0x7f.1',
      '0177.0.0.1',
      '017700000001',
      '127.0.0.1.',
    ],
    ...['0.0.0.0', '0', '10.0.0.1', '100.64.0.1', '169.254.169.254', '172.16.0.1', '172.31.255.255'],
    ...['192.0.0.1', '192.0.2.1', '192.88.99.1', '192.168.0.1', '198.18.0.1', '198.19.255.255'],
    ...['198.51.100.7', '203.0.113.9', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
    ...['１２７.０.０.１', '127。0。0。1', '%31%32%37.0.0.1'],
    ...['[::]', '[::1]', '[::7f00:1]', '[::ffff:127.0.0.1]', '[::ffff:10.0.0.1]', '[0:0:0:0:0:ffff:a00:1]'],
    ...[
      '[64:ff9b::7f00:1]',
      '[64:ff9b::10.0.0.1]',
      '[64:ff9b:1::1]',
      '[fe80::1]',
      '[fc00::1]',
      '[fd00:ec2::254]',
    ],
    ...[
      '[2001::1]',
      '[2001:0:4136:e378:8000:63bf:3fff:fdd2]',
      '[2001:db8::1]',
      '[2002:7f00:1::1]',
      '[3fff::1]',
    ],
    ...['[ff02::1]', '[100::1]', '[4000::1]', '[5f00::1]'],
    ...['localhost', 'LOCALHOST', 'private.example', 'mixed.example', 'mapped.example', 'zone.example'],
  ])('%s is refused', async (host) => {
    await expect(ask(`https://${host}/hook`)).rejects.toThrow('its host has no public address');
  });

  it('a name that leads inside is answered like one that does not exist', async () => {
    const said = (host: string) => ask(`https://${host}/`).catch((error: Error) => error.message);
    expect(await said('private.example')).toBe(await said('nowhere.example'));
  });

  test.each([
    ['http://public.example/', 'it must be an https URL'],
    ['ftp://public.example/', 'it must be an https URL'],
    ['file:///etc/passwd', 'it must be an https URL'],
    ['data:text/plain,x', 'it must be an https URL'],
    ['https://user@public.example/', 'it must not hold a user name or a password'],
    ['https://:secret@public.example/', 'it must not hold a user name or a password'],
    ['https://public.example:22/', 'its port must be 443 or 80'],
    ['https://public.example:8443/', 'its port must be 443 or 80'],
  ])('%s: %s', async (url, words) => {
    await expect(ask(url)).rejects.toThrow(words);
  });
});

describe('with an allow list', () => {
  test.each([
    ['http://127.0.0.1:3000/', LOOPBACK],
    ['http://localhost:3000/', LOOPBACK],
    ['http://[::1]:3000/', LOOPBACK],
    ['http://[::ffff:127.0.0.1]:3000/', LOOPBACK],
    ['http://private.example:8080/', ['private.example']],
    ['http://PRIVATE.example:8080/', ['private.example:8080']],
    ['http://private.example./', ['private.example']],
    ['https://private.example/', ['10.0.0.0/8']],
    ['https://private.example/', ['10.1.2.3']],
    ['http://10.1.2.3:9000/', ['10.1.2.3:9000']],
    ['http://[fd00::5]:9000/', ['fd00::/8']],
    ['http://[fd00::5]:9000/', ['[fd00::5]:9000']],
    // One address is public and needs no entry, the other has one.
    ['https://mixed.example/', ['192.168.0.0/16']],
  ])('%s is allowed by %j', async (url, entries) => {
    await expect(addresses(url, entries)).resolves.not.toHaveLength(0);
  });

  test.each([
    ['http://127.0.0.1:3000/', ['10.0.0.0/8']],
    ['http://private.example:8081/', ['private.example:8080']],
    ['http://sub.private.example/', ['private.example']],
    ['http://10.1.2.3:9001/', ['10.1.2.3:9000']],
    // The public address is on no list, so it gets no plain http.
    ['http://mixed.example/', ['192.168.0.0/16']],
    ['https://user@127.0.0.1/', LOOPBACK],
    ['ftp://127.0.0.1/', LOOPBACK],
  ])('%s is not allowed by %j', async (url, entries) => {
    await expect(ask(url, entries)).rejects.toThrow();
  });

  test.each([
    'http://127.0.0.1:7243/',
    'http://127.9.9.9:7243/',
    'http://localhost:7243/',
    'http://[::1]:7243/',
    'http://[::ffff:7f00:1]:7243/',
    'http://0.0.0.0:7243/',
  ])('%s leads to a port that is denied, whatever is allowed', async (url) => {
    const everything = [...LOOPBACK, '0.0.0.0/0', '::/0', 'localhost', '127.0.0.1:7243'];
    await expect(ask(url, everything)).resolves.not.toHaveLength(0);
    const allowed = createAllowList(everything, [7243]);
    await expect(allowedAddresses(new URL(url), allowed, resolve)).rejects.toThrow();
  });

  it('a port that is denied is denied on this machine only', async () => {
    const allowed = createAllowList(['10.0.0.0/8'], [7243]);
    const found = await allowedAddresses(new URL('http://private.example:7243/'), allowed, resolve);
    expect(found).toHaveLength(1);
  });

  it('what is no host and no subnet is named', () => {
    const good = [
      'a',
      'a.b',
      'a.b:80',
      '10.0.0.0/8',
      '10.0.0.1',
      '10.0.0.1:1',
      'fd00::/8',
      'fd00::1',
      '[fd00::1]:80',
    ];
    const bad = [
      '',
      'http://a',
      'a:0',
      'a:99999',
      '10.0.0.0/33',
      'fd00::/129',
      '10.0.0',
      '300.0.0.1',
      '[a]:80',
      'a b',
      'a/8',
    ];
    expect(mistakesIn([...good, ...bad])).toEqual(bad);
  });
});
