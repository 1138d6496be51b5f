// What receivers in Python and Go make of webhooks that were really sent: verified with the libraries of Standard Webhooks.
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { cleanUp, newDirectory, run, type ServerProcess, startServer } from '../support/process.ts';
import { type Received, startReceiver } from '../support/receiver.ts';
import { pythonTool } from './python-tools.ts';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(cleanUp);

const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');

interface Library {
  language: string;
  /** Its receiver, to which the file with what was received is given. */
  command: string[];
  refused: string;
}

const LIBRARIES: Library[] = [
  {
    language: 'Python',
    command: [pythonTool('python'), join(__dirname, 'verify_webhooks.py')],
    refused: 'No matching signature found',
  },
  {
    language: 'Go',
    command: [join(cacheDir, 'verify-webhooks')],
    refused: 'unable to verify payload, err: no matching signature found',
  },
];

async function verify(
  { command: [program = '', ...args] }: Library,
  secret: string,
  isPlain: boolean,
  received: Pick<Received, 'headers' | 'body'>[],
) {
  const file = join(newDirectory(), 'received.json');
  const given = received.map(({ headers, body }) => ({ headers, body }));
  writeFileSync(file, JSON.stringify({ secret, is_plain: isPlain, received: given }), { mode: 0o600 });
  const { code, stdout, stderr } = await run(program, [...args, file]);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

const SECRETS = [
  { whose: 'of its own', own: 'any text, é included' },
  { whose: 'that was made for it', own: undefined },
];

test.each(LIBRARIES.flatMap((library) => SECRETS.map((secret) => ({ ...library, ...secret }))))(
  'the library for $language verifies with a secret $whose, and refuses what was changed by one character',
  async ({ own, ...library }) => {
    const receiver = await startReceiver();
    const body = { url: receiver.url, events: ['*'], ...(own === undefined ? {} : { secret: own }) };
    const { id: webhook, secret } = (await server.api.post('/v1/webhooks', body)).body;
    const { id } = await server.api.session({ metadata: { ключ: 'é \u2028 \u{1F600} \\/ <b>' } });
    await server.api.send(id, 'Grüße \u{1F600}');
    await server.api.post(`/v1/sessions/${id}/complete`);
    const received = await receiver.until((all) => all.some(({ event }) => event.type === 'session.ended'));
    const changed = received.map((each) => ({ ...each, body: each.body.replace('"seq":', '"seq": ') }));
    const isPlain = own !== undefined;
    const verified = await verify(library, secret, isPlain, received);
    expect(verified).toEqual(received.map(({ event }) => ({ event })));
    const refused = received.map(() => ({ refused: library.refused }));
    expect(await verify(library, secret, isPlain, changed)).toEqual(refused);
    await server.api.delete(`/v1/webhooks/${webhook}`);
    await receiver.stop();
  },
);
