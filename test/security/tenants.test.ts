// What a tenant gets of another one's things, on every route that the document names: the answer for things that never were.
import type { ApiClient } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';
import { bodyOf, type Operation, operationsOf, pathOf } from './support/document.ts';

let system: TestSystem;
let owner: ApiClient;
let intruder: ApiClient;
let operations: Operation[];
/** The owner's, and the intruder's own. */
let theirs: Record<string, string>;
let mine: Record<string, string>;

/** Ids of the right shape that nobody has. */
const NOBODYS: Record<string, string> = {
  sessionId: 'sess_000000000000000000000000',
  messageId: 'msg_000000000000000000000000',
  keyId: 'key_000000000000000000000000',
  webhookId: 'wh_000000000000000000000000',
  deliveryId: 'dlv_000000000000000000000000',
  name: 'no_such_tool',
};

/** Two of everything, so that every list has a second page. */
/** @param tool Name of the session's tool, an id of its own kind within the session. */
async function furnish(client: ApiClient, tool: string): Promise<Record<string, string>> {
  const hooks = [];
  for (const path of ['first', 'second'])
    hooks.push(await client.post('/v1/webhooks', { url: `https://example.com/${path}`, events: ['*'] }));
  const webhookId = hooks[0]?.body.id;
  await client.session({ metadata: { tag: 'private' } });
  const tools = [tool, 'second_tool'].map((name) => ({
    name,
    description: 'Looks something up',
    parameters: { type: 'object' },
  }));
  const session = await client.session({ metadata: { tag: 'private' }, tools });
  const message = await client.send(session.id, `A private text: use tool ${tool} use tool second_tool`);
  const key = await client.post('/v1/api-keys', { name: 'second', level: 'admin' });
  const deliveries = (await client.get(`/v1/webhooks/${webhookId}/deliveries`)).body.data;
  const ids = { webhookId, deliveryId: deliveries[0].id };
  return { sessionId: session.id, messageId: message.id, keyId: key.body.id, name: tool, ...ids };
}

beforeAll(async () => {
  system = await startTestSystem();
  owner = system.api;
  intruder = await system.as('intruder', 'admin');
  operations = await operationsOf(system.url);
  [theirs, mine] = [await furnish(owner, 'their_tool'), await furnish(intruder, 'my_tool')];
});
afterAll(() => system.stop());

const call = (client: ApiClient, operation: Operation, ids: Record<string, string>, headers = {}) =>
  client.call(operation.method, pathOf(operation, ids), bodyOf(operation), headers);

const withIds = () => operations.filter(({ ids }) => ids.length > 0);
const lists = () => operations.filter(({ isList }) => isList);

it('has something to attack', () => {
  expect(withIds().length).toBeGreaterThanOrEqual(11);
  expect(lists().length).toBeGreaterThanOrEqual(5);
});

it("answers another tenant's id on every route as one that never was, and changes nothing", async () => {
  const before = await owner.get(`/v1/sessions/${theirs.sessionId}`);
  for (const operation of withIds()) {
    const taken = await call(intruder, operation, theirs);
    const unknown = await call(intruder, operation, NOBODYS);
    expect([operation.name, taken.status, taken.body]).toEqual([operation.name, 404, unknown.body]);
    expect(taken.body.error.code).toBe('not_found');
    expect([...taken.headers.keys()]).toEqual([...unknown.headers.keys()]);
  }
  expect((await owner.get(`/v1/sessions/${theirs.sessionId}`)).body).toEqual(before.body);
  const keys = (await owner.get('/v1/api-keys')).body.data;
  expect(keys.find(({ id }: { id: string }) => id === theirs.keyId).revoked_at).toBeNull();
});

it("takes no id of another tenant under one's own", async () => {
  for (const operation of withIds().filter(({ ids }) => ids.length > 1))
    for (const foreign of operation.ids.slice(1)) {
      const answer = await call(intruder, operation, { ...mine, [foreign]: theirs[foreign] as string });
      expect([operation.name, answer.status]).toEqual([operation.name, 404]);
    }
});

it('shows nothing of another tenant in any list, whatever is filtered for', async () => {
  const { model } = (await owner.get(`/v1/sessions/${theirs.sessionId}`)).body;
  const filters: Record<string, string> = { 'metadata[tag]': 'private', status: 'active', model };
  for (const operation of lists().filter(({ ids }) => ids.length === 0)) {
    const query = new URLSearchParams({ limit: '100' });
    for (const [name, value] of Object.entries(filters))
      if (operation.queryParameters.includes(name.replace(/\[.*/, ''))) query.set(name, value);
    if (operation.path.endsWith('/tool-calls')) query.set('status', 'awaiting_result');
    const { status, body } = await intruder.get(`${operation.path}?${query}`);
    expect([operation.name, status]).toEqual([operation.name, 200]);
    const seen = JSON.stringify(body);
    for (const id of Object.values(theirs))
      expect([operation.name, seen.includes(id)]).toEqual([operation.name, false]);
  }
});

it('takes no cursor of another tenant, of another list, or of another filter', async () => {
  const cursors = new Map<string, string>();
  for (const operation of lists()) {
    const { body } = await owner.get(`${pathOf(operation, theirs)}?limit=1`);
    expect([operation.name, body.next_cursor]).toEqual([operation.name, expect.any(String)]);
    cursors.set(operation.name, body.next_cursor);
  }
  for (const operation of lists())
    for (const [from, cursor] of cursors) {
      const query = `?limit=1&cursor=${cursor}`;
      const stolen = await intruder.get(pathOf(operation, mine) + query);
      expect([operation.name, from, stolen.status, stolen.body.error.param]).toEqual([
        operation.name,
        from,
        400,
        'cursor',
      ]);
      const own = await owner.get(pathOf(operation, theirs) + query);
      expect([operation.name, from, own.status]).toEqual([
        operation.name,
        from,
        from === operation.name ? 200 : 400,
      ]);
    }
  const filtered = await owner.get(`/v1/sessions?status=active&cursor=${cursors.get('GET /v1/sessions')}`);
  expect(filtered.status).toBe(400);
});

it('joins no request of another tenant by its Idempotency-Key', async () => {
  const key = { 'Idempotency-Key': 'the-same-for-both' };
  for (const operation of operations.filter(({ method, level }) => method === 'POST' && level !== 'none')) {
    if (operation.ids.length > 0) {
      await call(owner, operation, theirs, key);
      expect([operation.name, (await call(intruder, operation, theirs, key)).status]).toEqual([
        operation.name,
        404,
      ]);
      continue;
    }
    if (operation.operationId === 'createClientToken') {
      const body = { session_ids: [theirs.sessionId], scopes: ['read'] };
      expect((await owner.post(operation.path, body, key)).status).toBe(201);
      expect((await intruder.post(operation.path, body, key)).status).toBe(404);
      continue;
    }
    const first = await call(owner, operation, {}, key);
    const other = await call(intruder, operation, {}, key);
    expect([operation.name, first.status, other.status]).toEqual([operation.name, 201, 201]);
    expect(other.headers.get('idempotent-replayed')).toBeNull();
    expect(other.body.id).not.toBe(first.body.id);
  }
});

it('gives nothing to who claims to have read a part already', async () => {
  const { sessionId } = await furnish(owner, 'their_tool');
  const claims: Record<string, string>[] = [
    { 'Last-Event-ID': '1' },
    { 'Last-Event-ID': '1', Accept: 'text/event-stream' },
  ];
  for (const headers of claims) {
    const taken = await intruder.get(`/v1/sessions/${sessionId}/events`, headers);
    const unknown = await intruder.get(`/v1/sessions/${NOBODYS.sessionId}/events`, headers);
    expect([404, 406]).toContain(taken.status);
    expect([taken.status, taken.body]).toEqual([unknown.status, unknown.body]);
  }
});
