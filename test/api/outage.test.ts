import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { type EmbeddedTemporal, startEmbeddedTemporal } from '../../src/temporal/embedded-server.ts';
import { SEARCH_ATTRIBUTES } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { readRunFile } from '../support/run-file.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let dataDir: string;
let temporal: EmbeddedTemporal;
let server: TestSystem;

const LOOK_UP = { name: 'look_up', description: 'Looks something up', parameters: { type: 'object' } };

const startTemporal = (preferredPort?: number) =>
  startEmbeddedTemporal({
    ...(preferredPort ? { preferredPort } : {}),
    dataDir,
    binaryPath: readRunFile().cliPath,
    version: TEMPORAL_CLI.version,
    searchAttributes: Object.fromEntries(Object.values(SEARCH_ATTRIBUTES).map((name) => [name, 'Keyword'])),
    log: { info() {}, warn() {}, error() {} },
    onLost() {},
  });

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'openclaw-outage-'));
  temporal = await startTemporal();
  server = await startTestSystem({ temporalAddress: temporal.address });
}, 60_000);

afterAll(async () => {
  await server.stop();
  await temporal.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, 60_000);

test('without Temporal reads work, writes answer 503 and leave nothing, and the probe says which part', async () => {
  const session = await server.api.session();
  const answered = await server.api.send(session.id, 'before');
  const path = `/v1/sessions/${session.id}`;
  const waiting = await server.api.session({ tools: [LOOK_UP] });
  const paused = await server.api.send(waiting.id, 'use tool look_up {}');
  for (const { id } of [session, waiting])
    await server.api.patch(`/v1/sessions/${id}`, { metadata: { changed: 'since' } });
  await temporal.stop();
  const ready = await eventually(
    () => server.api.get('/readyz'),
    (answer) => answer.status === 503,
  );
  expect(ready.body.checks.temporal).toMatchObject({ status: 'failed', error: expect.any(String) });
  expect(ready.body.checks.store).toEqual({ status: 'ok', error: null });
  expect((await server.api.get('/healthz')).status).toBe(200);

  const before = (await server.api.get(path)).body;
  expect(before.messages[1]).toEqual(answered);
  expect((await server.api.get(`${path}/events`)).status).toBe(200);
  expect((await server.api.get(`${path}/state`)).body).toMatchObject({
    engine: 'unavailable',
    phase: 'idle',
    since: answered.completed_at,
  });
  expect((await server.api.get(`/v1/sessions/${waiting.id}/state`)).body).toMatchObject({
    engine: 'unavailable',
    phase: 'waiting_tool',
    since: paused.tool_calls[0].created_at,
  });
  for (const [target, body] of [
    ['/v1/sessions', { model: 'claude-haiku' }],
    [`${path}/messages`, { content: 'lost?' }],
    [`${path}/messages`, { content: 'lost?', stream: true }],
    [`${path}/interrupt`, {}],
    [`${path}/complete`, {}],
  ] as const) {
    const refused = await server.api.post(target, body, { 'Idempotency-Key': `outage ${target}` });
    expect([target, refused.status, refused.body.error.code]).toEqual([target, 503, 'unavailable']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  }
  expect((await server.api.get(path)).body).toEqual(before);

  temporal = await startTemporal();
  const again = await eventually(
    () =>
      server.api.post(
        `${path}/messages`,
        { content: 'after' },
        { 'Idempotency-Key': `outage ${path}/messages` },
      ),
    (answer) => answer.status !== 503,
  );
  expect(again.status).toBe(200);
  expect(again.body.status).toBe('completed');
}, 90_000);

test('without Temporal a running turn is not interrupted: 503, nothing changed, and it can be once Temporal is back', async () => {
  const session = await server.api.session();
  const path = `/v1/sessions/${session.id}`;
  await server.api.post(`${path}/messages`, { content: 'x [[delay_ms=60000]]', background: true });
  const running = await eventually(
    async () => (await server.api.get(path)).body,
    (body) => body.messages[1]?.status === 'in_progress',
  );
  await server.api.patch(path, { metadata: { changed: 'since' } });
  const port = Number(temporal.address.split(':')[1]);
  await temporal.stop();
  await eventually(
    () => server.api.get('/readyz'),
    (answer) => answer.status === 503,
  );
  const instead = { content: 'rather this', on_busy: 'interrupt' };
  for (const refused of [
    await server.api.post(`${path}/interrupt`),
    await server.api.post(`${path}/messages`, instead),
  ])
    expect([refused.status, refused.body.error.code]).toEqual([503, 'unavailable']);
  expect((await server.api.get(path)).body.messages).toEqual(running.messages);
  expect((await server.api.get(`${path}/state`)).body).toMatchObject({
    engine: 'unavailable',
    phase: 'running',
    since: running.messages[0].completed_at,
  });

  temporal = await startTemporal(port);
  const answer = await eventually(
    () => server.api.post(`${path}/messages`, instead),
    ({ status }) => status !== 503,
  );
  expect(answer.body).toMatchObject({ status: 'completed', content: '[simulated] rather this' });
  expect((await server.api.get(path)).body.messages[1].status).toBe('interrupted');
}, 90_000);

test('a message that was accepted just before Temporal went away is answered when it is back', async () => {
  const session = await server.api.session();
  const path = `/v1/sessions/${session.id}`;
  await server.api.send(session.id, 'warm');
  const stopping = temporal.stop();
  const accepted = await server.api.post(`${path}/messages`, { content: 'in the gap', background: true });
  await stopping;
  if (accepted.status === 503) throw new Error('the gap was missed: Temporal was known to be away already');
  expect(accepted.status).toBe(202);
  temporal = await startTemporal();
  const { messages } = await eventually(
    async () => (await server.api.get(path)).body,
    (body) => body.messages[3]?.status === 'completed',
    60_000,
  );
  expect(messages.map((message: any) => message.role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  expect(messages[3].id).toBe(accepted.body.id);
}, 120_000);

test('sessions whose Temporal data is lost are revived from the store', async () => {
  await eventually(
    () => server.api.get('/readyz'),
    (answer) => answer.status === 200,
  );
  const port = Number(temporal.address.split(':')[1]);
  const session = await server.api.session();
  const path = `/v1/sessions/${session.id}`;
  await server.api.send(session.id, 'one');
  await server.api.post(`${path}/messages`, { content: 'two [[delay_ms=3000]]', background: true });
  await eventually(
    async () => (await server.api.get(path)).body.messages.length,
    (n) => n === 4,
  );
  await temporal.stop();
  rmSync(join(dataDir, 'temporal'), { recursive: true, force: true });
  temporal = await startTemporal(port);
  await server.restart();
  const { messages } = await eventually(
    async () => (await server.api.get(path)).body,
    (body) => body.messages[3]?.status === 'completed',
    60_000,
  );
  expect(messages).toHaveLength(4);
  expect((await server.api.send(session.id, 'three')).status).toBe('completed');
}, 120_000);
