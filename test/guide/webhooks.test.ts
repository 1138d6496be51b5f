// The guide's receiver of webhooks, cut from its text, is sent every type of event that the guide names, and takes them all.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { Webhook } from 'standardwebhooks';
import type { Delivery } from '../../src/contracts/webhooks.ts';
import { type ApiClient, eventually } from '../support/api-client.ts';
import { PROJECT_DIR } from '../support/built.ts';
import { freePort } from '../support/ports.ts';
import { cleanUp, environment, type ServerProcess, startServer } from '../support/process.ts';
import { startReceiver } from '../support/receiver.ts';
import { guideIsHere, snippet } from './snippets.ts';

/** The guide's own list. */
const TYPES = [
  ...['message.created', 'message.completed', 'tool.called', 'tool.completed'],
  ...['session.created', 'session.ended', 'error.occurred'],
];
const SECRET = 'your_webhook_secret';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(cleanUp);

/** The snippet in the program that its reader has around it. */
const program = (express: string, port: number, secret: string) => `
import { createRequire } from 'node:module';
const require = createRequire(${JSON.stringify(join(PROJECT_DIR, 'package.json'))});
const express = require('${express}');
const app = express();
app.use(express.json());
app.listen(${port}, '127.0.0.1', () => console.log('listening'));
const webhookSecret = ${JSON.stringify(secret)};
${snippet('verifyWebhook')}
`;

async function startConsumer({ secret = SECRET, express = 'express' } = {}) {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-guide-'));
  writeFileSync(join(directory, 'consumer.mjs'), program(express, port, secret));
  const child: ChildProcess = spawn(process.execPath, [join(directory, 'consumer.mjs')], {
    env: environment({}),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
  });
  await eventually(
    async () => stdout,
    (text) => text.includes('listening'),
  );
  return {
    url: `http://127.0.0.1:${port}/webhooks/openclaw`,
    heard: () => [...stdout.matchAll(/^Received event: (.*)$/gm)].map(([, type]) => type),
    async stop(): Promise<void> {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Contents that come out of a careless serialiser otherwise than they went in. */
const TRICKY = { 2024: 'b', 10: 'a', ключ: 'é \u2028 \u{1F600} \\/ <b>', empty: '' };

/** A session to which everything happens that the guide has an event for. */
async function eventfulSession(api: ApiClient): Promise<void> {
  const { id } = await api.session({ tools: ['calculator'], metadata: TRICKY });
  await api.send(id, 'use tool calculator {"expression":"6 * 7"}');
  await api.post(`/v1/sessions/${id}/messages`, { content: 'No [[status=400]]' });
  await api.post(`/v1/sessions/${id}/complete`);
}

const deliveries = async (id: string): Promise<Delivery[]> =>
  (await server.api.get(`/v1/webhooks/${id}/deliveries?limit=100`)).body.data;

const suite = guideIsHere ? describe : describe.skip;

suite(
  guideIsHere ? "the guide's receiver" : "the guide's receiver DID NOT RUN: ../shared/seed is not here",
  () => {
    // What its readers have: the present express, and the one before.
    it.each(['express', 'express4'])(
      'on %s takes every type of event that the guide names',
      async (express) => {
        const consumer = await startConsumer({ express });
        const body = { url: consumer.url, events: TYPES, secret: SECRET };
        const { id } = (await server.api.post('/v1/webhooks', body)).body;
        await eventfulSession(server.api);
        await eventually(
          async () => new Set(consumer.heard()),
          (heard) => TYPES.every((type) => heard.has(type)),
        );
        const all = await eventually(
          () => deliveries(id),
          (each) => each.every(({ status }) => status !== 'pending'),
        );
        expect(all.flatMap(({ attempts }) => attempts).map(({ status_code }) => status_code)).toEqual(
          all.map(() => 200),
        );
        await server.api.delete(`/v1/webhooks/${id}`);
        await consumer.stop();
      },
    );

    it('refuses what is signed with another secret', async () => {
      const consumer = await startConsumer({ secret: 'another secret of the same kind' });
      const body = { url: consumer.url, events: ['session.created'], secret: SECRET };
      const { id } = (await server.api.post('/v1/webhooks', body)).body;
      await server.api.session();
      const [delivery] = await eventually(
        () => deliveries(id),
        ([first]) => (first?.attempts.length ?? 0) > 0,
      );
      expect(delivery?.attempts[0]).toMatchObject({ status_code: 401 });
      expect(consumer.heard()).toEqual([]);
      await server.api.delete(`/v1/webhooks/${id}`);
      await consumer.stop();
    });
  },
);

describe('the libraries that receivers use', () => {
  test.each([
    ['a secret of their own', 'any text, é included'],
    ['a secret that was made for them', undefined],
  ])('verify with %s', async (_name, secret) => {
    const receiver = await startReceiver();
    const body = { url: receiver.url, events: ['*'], ...(secret === undefined ? {} : { secret }) };
    const webhook = (await server.api.post('/v1/webhooks', body)).body;
    await eventfulSession(server.api);
    const received = await receiver.until((all) => all.some(({ event }) => event.type === 'session.ended'));
    const key: string = webhook.secret;
    const standard =
      secret === undefined ? new Webhook(key) : new Webhook(Buffer.from(key), { format: 'raw' });
    const openai = new OpenAI({ apiKey: 'none', webhookSecret: key });
    for (const { headers, body: text } of received) {
      const sent = headers as Record<string, string>;
      expect(standard.verify(text, sent)).toEqual(JSON.parse(text));
      expect(await openai.webhooks.unwrap(text, sent)).toEqual(JSON.parse(text));
      await expect(openai.webhooks.unwrap(`${text} `, sent)).rejects.toThrow();
      expect(() => standard.verify(`${text} `, sent)).toThrow();
    }
    await server.api.delete(`/v1/webhooks/${webhook.id}`);
    await receiver.stop();
  });
});
