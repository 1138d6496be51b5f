// What a receiver in Python makes of webhooks that were really sent: verified with the library of Standard Webhooks.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, newDirectory, run, type ServerProcess, startServer } from '../support/process.ts';
import { type Received, startReceiver } from '../support/receiver.ts';
import { pythonTool } from './python-tools.ts';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(cleanUp);

const REFUSED = { refused: 'No matching signature found' };

async function verify(secret: string, isPlain: boolean, received: Pick<Received, 'headers' | 'body'>[]) {
  const file = join(newDirectory(), 'received.json');
  const given = received.map(({ headers, body }) => ({ headers, body }));
  writeFileSync(file, JSON.stringify({ secret, is_plain: isPlain, received: given }), { mode: 0o600 });
  const script = join(__dirname, 'verify_webhooks.py');
  const { code, stdout, stderr } = await run(pythonTool('python'), [script, file]);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

test.each([
  ['a secret of their own', 'any text, é included'],
  ['a secret that was made for them', undefined],
])(
  'the library for Python verifies with %s, and refuses what was changed by one character',
  async (...[, own]) => {
    const receiver = await startReceiver();
    const body = { url: receiver.url, events: ['*'], ...(own === undefined ? {} : { secret: own }) };
    const { id: webhook, secret } = (await server.api.post('/v1/webhooks', body)).body;
    const { id } = await server.api.session({ metadata: { ключ: 'é \u2028 \u{1F600} \\/ <b>' } });
    await server.api.send(id, 'Grüße \u{1F600}');
    await server.api.post(`/v1/sessions/${id}/complete`);
    const received = await receiver.until((all) => all.some(({ event }) => event.type === 'session.ended'));
    const changed = received.map((each) => ({ ...each, body: each.body.replace('"seq":', '"seq": ') }));
    const isPlain = own !== undefined;
    expect(await verify(secret, isPlain, received)).toEqual(received.map(({ event }) => ({ event })));
    expect(await verify(secret, isPlain, changed)).toEqual(received.map(() => REFUSED));
    await server.api.delete(`/v1/webhooks/${webhook}`);
    await receiver.stop();
  },
);
