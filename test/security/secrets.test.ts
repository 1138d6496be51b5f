// Where secrets and contents of messages do not end: in logs at their most talkative, in answers, in Temporal's files.
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { type Simulator, startSimulator } from '../../src/models/simulator.ts';
import { createDatabase, findPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { exchange, statusesIn } from './support/raw-http.ts';

const CANARIES = {
  adminKey: 'operators-own-key-canary-1',
  providerKey: 'sk-ant-canary-2-0123456789',
  databasePassword: 'canary-3-password',
  secretKey: 'canary-4-secret-key-0123456789',
  guessedKey: 'canary-5-guessed-key-0123',
  queryKey: 'canary-6-key-in-the-query',
  webhookSecret: 'canary-11-webhook-secret',
  nextWebhookSecret: 'canary-12-next-webhook-secret',
  systemPrompt: 'canary-7-system-prompt',
  content: 'canary-8-message-content',
  metadata: 'canary-9-metadata',
  echoed: 'canary-10-said-again-by-the-model',
};
/** These may be in no file of Temporal's and in no log; the texts may be in Temporal's, as previews. */
const KEYS = [
  ...(['adminKey', 'providerKey', 'databasePassword', 'secretKey', 'guessedKey', 'queryKey'] as const),
  ...(['webhookSecret', 'nextWebhookSecret'] as const),
];

const ECHO = '[echo]';

/** A provider that says in its error what it was sent, the key and the content: some do. */
async function startEchoingProvider(simulator: Simulator): Promise<Server> {
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const key = String(req.headers['x-api-key']);
    if (body.includes(ECHO)) {
      // The key stands where a long message is cut, so that half of it could be left.
      const message = `${'x'.repeat(485)}${key} is no key; you said ${body}`;
      const error = { type: 'error', error: { type: 'authentication_error', message } };
      return void res.writeHead(401, { 'content-type': 'application/json' }).end(JSON.stringify(error));
    }
    const answer = await fetch(simulator.url + req.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key, 'anthropic-version': '2023-06-01' },
      body,
    });
    res.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
    res.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const POSTGRES = findPostgres();
let postgres: TestPostgres | undefined;
let simulator: Simulator;
let provider: Server;
let server: ServerProcess;
/** Shown once, to the caller. */
let madeKey: string;
let failed: any;
let tried: any;
let temporalFiles: Map<string, Buffer>;
/** All answers but the one that shows a new key. */
const answers: string[] = [];

async function databaseAddress(): Promise<Record<string, string>> {
  if (!POSTGRES) return {};
  postgres = await startPostgres(POSTGRES);
  const address = new URL(await createDatabase(postgres.url, 'canary'));
  address.password = CANARIES.databasePassword;
  return { DATABASE_URL: address.href };
}

const INJECTION =
  '\r\nSet-Cookie: injected=1\r\n\r\n{"level":60,"msg":"injected"}\n\u001b[31mred\u2028\u0085';

/** A session from its creation to its end, with everything that can go wrong on the way. */
async function wholeSession(): Promise<void> {
  const { api } = server;
  const { systemPrompt, content, metadata, echoed } = CANARIES;
  const note = async (answer: Promise<{ body: unknown; headers: Headers }>) => {
    const { body, headers } = await answer;
    answers.push(JSON.stringify([body, [...headers]]));
    return body as any;
  };
  // At an address where nobody answers, so that there are failures to tell of.
  const events = { url: 'http://127.0.0.1:1/hook', events: ['*'] };
  const webhook = (await api.post('/v1/webhooks', { ...events, secret: CANARIES.webhookSecret })).body;
  const hook = `/v1/webhooks/${webhook.id}`;
  await api.post(`${hook}/rotate-secret`, { secret: CANARIES.nextWebhookSecret });
  await note(api.patch(hook, { secret: CANARIES.webhookSecret }));
  await note(api.post('/v1/webhooks', { ...events, url: 1, secret: CANARIES.webhookSecret }));
  tried = await note(api.post(`${hook}/test`, {}));
  const session = await note(
    api.post('/v1/sessions', {
      model: 'claude-haiku',
      system_prompt: systemPrompt,
      metadata: { note: metadata, [INJECTION.slice(0, 60)]: INJECTION },
    }),
  );
  const messages = `/v1/sessions/${session.id}/messages`;
  await note(api.post(messages, { content }));
  for await (const { data } of api.stream(session.id, content)) answers.push(JSON.stringify(data));
  failed = await note(api.post(messages, { content: `${ECHO} ${echoed}` }));
  for (const path of [`?include=state`, '/state', '/events?limit=100', '/messages', '?nothing=1'])
    await note(api.get(`/v1/sessions/${session.id}${path}`));
  for (const path of [hook, '/v1/webhooks', `${hook}/deliveries`]) await note(api.get(path));
  await note(api.get(`/v1/sessions?metadata[note]=${metadata}&api_key=${CANARIES.queryKey}`));
  await note(api.patch(`/v1/sessions/${session.id}`, { metadata: { note: INJECTION } }));
  await note(api.get('/v1/models', { Authorization: `Bearer ${CANARIES.guessedKey}` }));
  await note(api.get('/v1/models', { Authorization: `Basic ${CANARIES.guessedKey}` }));
  const made = await api.post('/v1/api-keys', { name: `name${INJECTION}`, level: 'standard' });
  madeKey = made.body.key;
  await note(api.get('/v1/api-keys'));
  await note(api.delete(`/v1/api-keys/${made.body.id}`));
  await note(api.post(`/v1/sessions/${session.id}/complete`));
  await note(api.post(messages, { content }));
  await note(api.delete(`/v1/sessions/${session.id}`));
}

beforeAll(async () => {
  simulator = await startSimulator({ echoOnly: true, tokenMs: 0 });
  provider = await startEchoingProvider(simulator);
  server = await startServer({
    env: {
      ...(await databaseAddress()),
      OPENCLAW_API_KEY: CANARIES.adminKey,
      OPENCLAW_SECRET_KEY: CANARIES.secretKey,
      OPENCLAW_LOG_LEVEL: 'trace',
      ANTHROPIC_API_KEY: CANARIES.providerKey,
      ANTHROPIC_BASE_URL: `http://127.0.0.1:${(provider.address() as { port: number }).port}`,
    },
  });
  await wholeSession();
}, 60_000);

afterAll(async () => {
  await cleanUp();
  provider.close();
  await simulator.close();
  await postgres?.stop();
});

const secrets = (): string[] => [...KEYS.map((name) => CANARIES[name]), madeKey];
const logLines = (): string[] => server.stderr().trim().split('\n');

/** Whole or in part: half a key is a secret, too. */
const leaksOf = (text: string, wanted: readonly string[]): string[] =>
  wanted.filter((secret) => text.includes(secret.slice(0, 12)) && !isPrefixShown(text, secret));

/** The first letters of a key are what lists show of it; more of it must be nowhere. */
const isPrefixShown = (text: string, secret: string): boolean =>
  secret.startsWith('oclaw_live_') && !text.includes(secret.slice(0, 16));

it('went through what it was meant to', () => {
  expect([failed.status, failed.error.code]).toEqual(['failed', 'model_authentication']);
  expect([tried.status, tried.attempts.length]).toEqual(['failed', 1]);
  expect(madeKey).toMatch(/^oclaw_live_/);
  expect(answers.length).toBeGreaterThan(15);
  expect(logLines().length).toBeGreaterThan(15);
});

it('tells no secret in an answer, whatever the provider says', () => {
  expect(leaksOf(answers.join('\n'), secrets())).toEqual([]);
});

it('logs no secret, and no contents', () => {
  const { systemPrompt, content, metadata, echoed } = CANARIES;
  expect(leaksOf(server.stderr(), [...secrets(), systemPrompt, content, metadata, echoed])).toEqual([]);
});

it('prints no secret but the first admin key, once', () => {
  const once = server.stdout().replace(CANARIES.adminKey, '');
  expect(leaksOf(once, secrets())).toEqual([]);
});

it('takes a client for the author of no line of the log and of no header', async () => {
  const lines = [
    'X-Client-Request-Id: a\u001b[31m\x7f\x9f{"msg":"injected"}',
    'User-Agent: %0d%0a{"msg":"injected"}',
    'request-id: req_mine',
  ];
  const request = (line: string, path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\n${line}\r\nAuthorization: Bearer ${CANARIES.adminKey}\r\nConnection: close\r\n\r\n`;
  for (const line of lines)
    for (const path of [
      '/v1/models',
      '/v1/sessions/%0d%0aSet-Cookie:%20injected=1',
      '/v1/sessions?%0d%0ainjected=%0d%0a',
      '/%0d%0ainjected',
    ]) {
      const received = await exchange(server.port, request(line, path));
      expect(statusesIn(received)).toHaveLength(1);
      expect(received.slice(0, received.indexOf('\r\n\r\n'))).not.toMatch(/injected|req_mine/i);
    }
  for (const line of logLines()) expect(JSON.parse(line)).toHaveProperty('time');
  expect(server.stderr()).not.toContain('injected');
  expect(answers.join('\n')).not.toMatch(/"set-cookie"/);
});

it("leaves no key in Temporal's files", async () => {
  const directory = join(server.dataDir, 'temporal');
  await server.stop();
  temporalFiles = new Map(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [file, readFileSync(file)]),
  );
  const all = Buffer.concat([...temporalFiles.values()]).toString('latin1');
  // Previews of what was said are in them, so what is looked for could be found.
  expect(all).toContain(CANARIES.content);
  expect(leaksOf(all, secrets())).toEqual([]);
});
