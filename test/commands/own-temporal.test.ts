// Whether a Temporal server of the operator stands on this machine: by number, by name, and under the machine's own addresses.
import { networkInterfaces } from 'node:os';
import { placeOf } from '../../src/commands/own-temporal.ts';
import type { Resolve } from '../../src/egress/guard.ts';

const NAMES: Record<string, string> = {
  localhost: '127.0.0.1',
  'this-host': '127.0.1.1',
  'temporal.example': '93.184.216.34',
};
const resolve: Resolve = async (name) => {
  const address = NAMES[name];
  if (address === undefined) throw new Error(`getaddrinfo ENOTFOUND ${name}`);
  return [{ address, family: 4 }];
};

test.each([
  ['localhost:7000', 7_000],
  ['127.0.0.1:7000', 7_000],
  ['127.9.9.9', 7_233],
  ['[::1]:7000', 7_000],
  ['[::ffff:127.0.0.1]:7000', 7_000],
  ['0.0.0.0:7000', 7_000],
  ['this-host:7000', 7_000],
  [undefined, 7_233],
])('%s is here', async (address, port) => {
  expect(await placeOf(address, resolve)).toEqual({ isHere: true, port });
});

test('each address of this machine is here', async () => {
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  expect(own.length).toBeGreaterThan(0);
  for (const { address, family } of own)
    expect(await placeOf(family === 'IPv6' ? `[${address}]:7233` : `${address}:7233`, resolve)).toEqual({
      isHere: true,
      port: 7_233,
    });
});

test('what can not be read may well be here', async () => {
  for (const address of ['::1:7233', ':7233', 'http://127.0.0.1:7233'])
    expect(await placeOf(address, resolve)).toMatchObject({ isHere: true });
});

test.each([
  'temporal.example:7233',
  '10.1.2.3:7233',
  '[2606:2800:220:1:248:1893:25c8:1946]:7233',
  'unknown:1',
])('%s is elsewhere', async (address) => {
  expect(await placeOf(address, resolve)).toMatchObject({ isHere: false });
});
