// Signatures that the guide's receiver and the libraries of Standard Webhooks accept.
import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { type Secrets, signatureHeaders } from '../../src/webhooks/signing.ts';

const OLD = 'your_webhook_secret';
const NEW = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const UMLAUTS = 'schlüssel-für-✓-webhooks';
const BODY = '{"id":"evt_1","text":"é\\ud800 \u2028 <\u{1F600}>"}';
const EVENT = { eventId: 'evt_1', body: BODY };

const sign = (secrets: Secrets, atMs = Date.now()) => signatureHeaders({ ...EVENT, atMs }, secrets);
const hex = (secret: string) => createHmac('sha256', secret).update(BODY).digest('hex');
const raw = (secret: string) => new Webhook(Buffer.from(secret), { format: 'raw' });

it("the guide's header is 64 lowercase hex digits of the body's HMAC with the whole secret", () => {
  for (const current of [OLD, NEW, UMLAUTS]) {
    const signature = sign({ current, next: null })['x-openclaw-signature'];
    expect(signature).toMatch(/^[0-9a-f]{64}$/);
    expect(signature).toBe(hex(current));
  }
});

test.each([
  ['a plain secret', OLD, raw(OLD)],
  ['a plain secret beyond ASCII', UMLAUTS, raw(UMLAUTS)],
  ['a standard secret', NEW, new Webhook(NEW)],
  ['one that only looks like it', 'whsec_not base64!', raw('whsec_not base64!')],
  ['the bare prefix', 'whsec_', raw('whsec_')],
])('the standard header of %s is verified by the library', (_name, current, library) => {
  const headers = sign({ current, next: null });
  expect(library.verify(BODY, headers)).toEqual(JSON.parse(BODY));
  const flipped = BODY.replace('evt_1', 'evt_0');
  expect(() => library.verify(flipped, headers)).toThrow('No matching signature');
  expect(() => library.verify(BODY, { ...headers, 'webhook-id': 'evt_2' })).toThrow('No matching signature');
});

it('while a secret is replaced, the standard header has both and the plain one the old', () => {
  const headers = sign({ current: OLD, next: NEW });
  expect(headers['webhook-signature']).toMatch(/^v1,\S{44} v1,\S{44}$/);
  raw(OLD).verify(BODY, headers);
  new Webhook(NEW).verify(BODY, headers);
  expect(headers['x-openclaw-signature']).toBe(hex(OLD));
});

it('the timestamp is that of the try, in whole seconds', () => {
  expect(sign({ current: OLD, next: null }, 1_700_000_000_999)['webhook-timestamp']).toBe('1700000000');
  const old = sign({ current: OLD, next: null }, Date.now() - 301_000);
  expect(() => raw(OLD).verify(BODY, old)).toThrow('too old');
});
