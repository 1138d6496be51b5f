// Calls of what the API reference names and this version does not have: the answer says so, and no entry outlives its feature.
import { MISSING_FIELDS, MISSING_ROUTES } from '../../src/contracts/not-yet.ts';
import { openSocket } from '../support/socket-client.ts';
import { addSession } from './support/fake-services.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
let sessionPath: string;
beforeAll(async () => {
  app = await startHarness();
  sessionPath = `/v1/sessions/${addSession(app).id}`;
});
afterAll(() => app.close());

const says = (name: string) => `'${name}' isn't available in this version`;
const concrete = (path: string) => path.replace('{/*rest}', '').replace(/:\w+/g, 'sess_x');

describe('a route', () => {
  it.each(MISSING_ROUTES.map((route) => [route.name, route] as const))('%s', async (name, route) => {
    const methods = route.method ? [route.method.toUpperCase()] : ['GET', 'POST', 'PATCH', 'DELETE'];
    for (const method of methods) {
      const answer = await app.call(method, concrete(route.path));
      expectError(answer, 404, 'not_found');
      expect(answer.body.error.message).toBe(says(name));
    }
  });

  it.each([
    ['/v1/files/file_x/content', 'files'],
    ['/v1/memory-stores/mem_x/files/a/b.md', 'memory-stores'],
    ['/v1/knowledge-bases/kb_x/documents/doc_x', 'knowledge-bases'],
    ['/v1/schedules/sch_x/run', 'schedules'],
    ['/v1/hooks/token', 'hooks'],
    ['/dashboard/session', 'dashboard'],
  ])('below one, %s', async (path, name) => {
    expect((await app.call('POST', path)).body.error.message).toBe(says(name));
  });

  it.each([
    '/v1/nothing',
    '/v1/session',
    '/v1/sessions/sess_x/forks',
    '/v1/eventss',
    '/v1/files-of-mine',
    '/',
  ])('that no version has is unknown: %s', async (path) =>
    expect((await app.call('POST', path)).body.error.message).toBe('No such route'),
  );

  it('named like a part of one is an id', async () => {
    expect((await app.call('GET', '/v1/sessions/import')).body.error.message).toBe('No such session');
  });
});

/** What a call needs beside the field. */
const BODIES: Record<string, Record<string, unknown>> = {
  createSession: { model: 'claude-haiku' },
  createMessage: { content: 'Hello' },
  createTool: { name: 'hammer', description: 'Hits', parameters: { type: 'object' } },
  createApiKey: { name: 'k', level: 'standard' },
  createClientToken: { session_ids: ['sess_x'], scopes: ['read'] },
};

const CALLS: Record<string, () => [method: string, path: string]> = {
  createSession: () => ['POST', '/v1/sessions'],
  updateSession: () => ['PATCH', sessionPath],
  listSessions: () => ['GET', '/v1/sessions'],
  createMessage: () => ['POST', `${sessionPath}/messages`],
  listMessages: () => ['GET', `${sessionPath}/messages`],
  createTool: () => ['POST', `${sessionPath}/tools`],
  createApiKey: () => ['POST', '/v1/api-keys'],
  createClientToken: () => ['POST', '/v1/client-tokens'],
};

/** An input with a value at the path, as in `tools[].type`. */
function put(path: string, value: unknown): unknown {
  const [, head = '', rest = ''] = /^(\w+|\[\])\.?(.*)$/.exec(path) ?? [];
  const inner = rest === '' ? value : put(rest, value);
  return head === '[]' ? [inner] : { [head]: inner };
}

const CASES = Object.entries(MISSING_FIELDS).flatMap(([operation, fields]) =>
  fields.flatMap(({ path, values }) =>
    (values ?? [undefined]).map((value) => [operation, path, value] as const),
  ),
);

describe('a field', () => {
  it.each(CASES)('of %s: %s %p', async (operation, path, value) => {
    const [method, target] = CALLS[operation]?.() ?? [];
    const body = { ...BODIES[operation], ...(put(path, value ?? 'x') as object) };
    const answer =
      method === 'GET'
        ? await app.call(method, `${target}?${path}=x`)
        : await app.call(method ?? '', target ?? '', { body });
    const param = path.replaceAll('[]', '[0]');
    expectError(answer, 400, 'invalid_request', param);
    expect(answer.body.error.message).toBe(says(value ?? path.split('.').at(-1) ?? ''));
  });

  it.each([
    ['createSession', { model: 'm', budgets: 1 }, "Unknown field 'budgets'"],
    ['createSession', { model: 'm', files: [] }, "Unknown field 'files'"],
    ['createMessage', { content: 'x', budget: {} }, "Unknown field 'budget'"],
    ['createSession', { model: 'm', toString: 1 }, "Unknown field 'toString'"],
  ])('that no version of %s has is unknown: %j', async (operation, body, message) => {
    const [method = '', target = ''] = CALLS[operation]?.() ?? [];
    expect((await app.call(method, target, { body })).body.error.message).toBe(message);
  });

  it('of a frame', async () => {
    // A session whose log has no end.
    app.script.events = async function* (signal) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    };
    const socket = await openSocket(`${app.url}${sessionPath}/ws`, { key: 'a-admin' });
    const answer = await socket.ask({ type: 'message', content: 'Hello', send_at: '2027-01-01T00:00:00Z' });
    expect(answer).toMatchObject({ type: 'error', message: says('send_at') });
    await socket.close();
  });
});
