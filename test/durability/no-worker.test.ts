// With every worker down Temporal still takes what is said: only the answers have to wait.
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem({ idle: true });
});
afterAll(() => server.stop());

test('a session that nobody can ask for its state keeps no message from being accepted', async () => {
  const { api } = server;
  const session = await api.session();
  const path = `/v1/sessions/${session.id}`;
  await api.patch(path, { metadata: { changed: 'since' } });
  const { status, body } = await api.get(`${path}/state`);
  expect([status, body.engine, body.since]).toEqual([200, 'unavailable', session.created_at]);
  const accepted = await api.post(`${path}/messages`, { content: 'Hello', background: true });
  expect([accepted.status, accepted.body.status]).toEqual([202, 'queued']);
  await api.patch(path, { metadata: { changed: 'again' } });
  const [user] = (await api.get(`${path}/messages`)).body.data;
  expect((await api.get(`${path}/state`)).body).toMatchObject({ phase: 'running', since: user.created_at });
  expect((await api.get('/readyz')).body.checks.temporal).toEqual({ status: 'ok', error: null });
});
