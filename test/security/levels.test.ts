// Which level may make which call of the document, on the real system; and that no key raises its own level.
import { LEVELS, type Level, levelAllows } from '../../src/contracts/api-keys.ts';
import type { ApiClient } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';
import { bodyOf, type Operation, operationsOf, pathOf } from './support/document.ts';

let system: TestSystem;
let operations: Operation[];
let clients: Record<Level, ApiClient>;
beforeAll(async () => {
  system = await startTestSystem();
  operations = await operationsOf(system.url);
  const made = LEVELS.map(async (level) => [level, await system.as('levels', level)]);
  clients = Object.fromEntries(await Promise.all(made));
});
afterAll(() => system.stop());

const IDS = {
  sessionId: 'sess_unknown',
  messageId: 'msg_unknown',
  keyId: 'key_unknown',
  webhookId: 'wh_unknown',
  deliveryId: 'dlv_unknown',
  name: 'no_such_tool',
};
const REFUSED = {
  error: {
    code: 'insufficient_permissions',
    message: expect.stringMatching(
      /^This call needs a key of level '[a-z-]+'; this key's level is '[a-z-]+'$/,
    ),
    param: null,
    type: 'permission_error',
  },
};

it('gives each level exactly the calls that the document promises it', async () => {
  for (const operation of operations.filter(({ level }) => level !== 'none'))
    for (const level of LEVELS) {
      const { status, body } = await clients[level].call(
        operation.method,
        pathOf(operation, IDS),
        bodyOf(operation),
      );
      const what = `${operation.name} with a key of level ${level}`;
      if (levelAllows(level, operation.level as Level))
        expect([what, [401, 403].includes(status)]).toEqual([what, false]);
      else expect([what, status, body]).toEqual([what, 403, REFUSED]);
    }
});

it('lets nobody in without a key, but to the probes and the document', async () => {
  const open = operations.filter(({ level }) => level === 'none').map(({ name }) => name);
  expect(open.sort()).toEqual(['GET /healthz', 'GET /openapi.json', 'GET /readyz']);
  for (const operation of operations) {
    const answer = await fetch(system.url + pathOf(operation, IDS), { method: operation.method });
    expect([operation.name, answer.status]).toEqual([operation.name, operation.level === 'none' ? 200 : 401]);
    if (answer.status === 401) expect(((await answer.json()) as any).error.code).toBe('missing_api_key');
  }
});

it('lets a standard key neither make keys nor see or revoke them', async () => {
  const before = (await clients.admin.get('/v1/api-keys')).body.data;
  const { standard } = clients;
  for (const level of LEVELS)
    expect((await standard.post('/v1/api-keys', { name: 'mine', level })).status).toBe(403);
  for (const { id } of before) expect((await standard.delete(`/v1/api-keys/${id}`)).status).toBe(403);
  expect((await standard.get('/v1/api-keys')).status).toBe(403);
  const ids = (keys: { id: string }[]) => keys.map(({ id }) => id);
  expect(ids((await clients.admin.get('/v1/api-keys')).body.data)).toEqual(ids(before));
});
