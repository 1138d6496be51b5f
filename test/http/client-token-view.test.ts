// What a client token sees of a session: all but the operator's instructions.
import { addSession } from './support/fake-services.ts';
import { startHarness } from './support/server.ts';

it('a client token reads no system prompt, its key does', async () => {
  const app = await startHarness();
  const { id } = addSession(app, { system_prompt: 'Never mention the discount.' });
  const seen = async (key: string) =>
    (await app.call('GET', `/v1/sessions/${id}`, { key })).body.system_prompt;
  expect(await seen('a-token')).toBeNull();
  expect(await seen('a-admin')).toBe('Never mention the discount.');
  await app.close();
});
