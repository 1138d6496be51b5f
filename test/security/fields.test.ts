// Fields that are not the client's to set, and names that reach for a prototype.
import { startTestSystem, type TestSystem } from '../support/system.ts';
import { bodyOf, type Operation, operationsOf, pathOf } from './support/document.ts';

let system: TestSystem;
let operations: Operation[];
let ids: Record<string, string>;
beforeAll(async () => {
  system = await startTestSystem();
  operations = await operationsOf(system.url);
  const webhook = await system.api.post('/v1/webhooks', { url: 'https://example.com/hook', events: ['*'] });
  const session = await system.api.session({ metadata: { kept: 'yes' } });
  const message = await system.api.send(session.id, 'Hello');
  const key = await system.api.post('/v1/api-keys', { name: 'second', level: 'admin' });
  const webhookId = webhook.body.id;
  const deliveries = await system.api.get(`/v1/webhooks/${webhookId}/deliveries`);
  ids = {
    ...{ sessionId: session.id, messageId: message.id, name: 'no_such_tool' },
    ...{ keyId: key.body.id, webhookId, deliveryId: deliveries.body.data[0].id },
  };
});
afterAll(() => system.stop());

/** Everything that the tests look at to see that nothing was changed. */
async function everything(): Promise<string> {
  const paths = [
    `/v1/sessions/${ids.sessionId}`,
    `/v1/sessions/${ids.sessionId}/events`,
    '/v1/sessions',
    '/v1/api-keys',
    '/v1/webhooks',
  ];
  const answers = await Promise.all(paths.map((path) => system.api.get(path)));
  // When a key was used last does change.
  return JSON.stringify(answers.map(({ body }) => body)).replace(/"last_used_at":[^,]+/g, '');
}

const NOT_THE_CLIENTS: Record<string, unknown> = {
  id: 'sess_000000000000000000000000',
  account_id: 'acct_000000000000000000000000',
  status: 'completed',
  created_at: '2000-01-01T00:00:00Z',
  token_count: 0,
  usage: { total_tokens: 0 },
  role: 'assistant',
  ended_reason: 'expired',
  messages: [],
  parent_session_id: null,
  hash: 'x',
  key: 'oclaw_live_mine',
  revoked_at: null,
  is_admin: true,
};

it('no call takes a field that is not its own, also in another spelling', async () => {
  const before = await everything();
  const writes = operations.filter(({ method, level }) => method !== 'GET' && level !== 'none');
  for (const operation of writes)
    for (const [name, value] of Object.entries({ ...NOT_THE_CLIENTS, LEVEL: 'admin', 'metadata.x': 'y' })) {
      const body = { ...bodyOf(operation), [name]: value };
      const answer = await system.api.call(operation.method, pathOf(operation, ids), body);
      const { code, param } = answer.body.error ?? {};
      expect([operation.name, name, answer.status, code, param]).toEqual([
        operation.name,
        name,
        400,
        'invalid_request',
        name,
      ]);
    }
  expect(await everything()).toBe(before);
});

it('a key made by an admin has the level that was asked for, and only the three there are', async () => {
  for (const level of ['owner', 'ADMIN', ['admin'], { admin: true }, 1, null, '']) {
    const { status, body } = await system.api.post('/v1/api-keys', { name: 'x', level });
    expect([level, status, body.error?.param]).toEqual([level, 400, 'level']);
  }
});

const EVIL = ['__proto__', 'constructor', 'prototype'];

/** JSON text, for an object literal would not have the key. */
const bodiesWith = (name: string): string[] => [
  `{"model":"claude-haiku","${name}":{"x":1}}`,
  `{"model":"claude-haiku","metadata":{"${name}":"x"}}`,
  `{"model":"claude-haiku","metadata":{"${name}":{"x":"1"}}}`,
  `{"model":"claude-haiku","tools":[{"name":"calculator","${name}":{"x":1}}]}`,
  `{"model":"claude-haiku","message":{"content":"a","${name}":{"x":1}}}`,
  `{"${name.replace('o', '\\u006f')}":{"x":1},"model":"claude-haiku"}`,
];

const sendText = (path: string, body: string, method = 'POST') =>
  fetch(system.url + path, {
    method,
    headers: { authorization: `Bearer ${system.adminKey}`, 'content-type': 'application/json' },
    body,
  });

it.each(EVIL)('%s is no name in a body or in a query', async (name) => {
  for (const body of bodiesWith(name)) {
    const answer = await sendText('/v1/sessions', body);
    expect([body, answer.status, ((await answer.json()) as any).error?.code]).toEqual([
      body,
      400,
      'invalid_request',
    ]);
  }
  const merge = await sendText(`/v1/sessions/${ids.sessionId}`, `{"metadata":{"${name}":"x"}}`, 'PATCH');
  expect(merge.status).toBe(400);
  for (const query of [
    `metadata[${name}]=x`,
    `${name}=x`,
    `${name}[x]=1`,
    `metadata[a][${name}]=x`,
    `metadata%5B${name}%5D=x`,
  ]) {
    const { status, body } = await system.api.get(`/v1/sessions?${query}`);
    // A key of metadata may have brackets in it; a filter for one merely finds nothing.
    if (status === 200) expect([query, body.data]).toEqual([`metadata[a][${name}]=x`, []]);
    else expect([query, status]).toEqual([query, 400]);
  }
});

it('what is free in its names is kept as it came, and reaches no prototype', async () => {
  const value = JSON.parse('{"constructor":{"prototype":{"x":1}},"toString":"x","hasOwnProperty":1}');
  const sent = await system.api.send(ids.sessionId as string, [{ type: 'json', value }]);
  const { body } = await system.api.get(`/v1/sessions/${ids.sessionId}/messages/${sent.parent_id}`);
  expect(body.content_blocks).toEqual([{ type: 'json', value }]);
});

afterEach(() => {
  // The system runs in this very process.
  expect(({} as Record<string, unknown>).x).toBeUndefined();
  expect(Object.keys(Object.prototype)).toEqual([]);
});
