import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

test('a message is answered', async () => {
  const session = await server.api.session();
  const message = await server.api.send(session.id, 'Hello');
  console.log(message);
  expect(message).toMatchObject({ role: 'assistant', status: 'completed' });
  expect(message.content).toContain('Hello');
  console.log(JSON.stringify(message), JSON.stringify(await server.api.events(session.id), null, 0));
  console.log(JSON.stringify((await server.api.get(`/v1/sessions/${session.id}?include=state`)).body));
});
