// The calculator as clients see it: the model calls it, a worker of ours runs it, the model goes on with what it said.
import { eventually } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(() => system.stop());

const ORDERS = { name: 'get_orders', description: 'Retrieves orders', parameters: { type: 'object' } };
const call = (expression: string) => `use tool calculator ${JSON.stringify({ expression })}`;
/** Runs for two seconds, when nothing ends it. */
const ENDLESS = call('combinations(1e9, 5e8)');

const session = (tools: unknown[] = ['calculator']) => system.api.session({ tools });
const post = (id: string, path: string, body?: unknown) =>
  system.api.post(`/v1/sessions/${id}/${path}`, body);
const get = async (id: string, path: string) => (await system.api.get(`/v1/sessions/${id}/${path}`)).body;

it('is run for the model, in one turn that needs nobody else', async () => {
  const { id } = await session();
  const reply = await system.api.send(id, call('2^70'));
  expect(reply.status).toBe('completed');
  expect(reply.content).toContain('1180591620717411303424');
  expect(reply.tool_calls).toMatchObject([
    {
      name: 'calculator',
      type: 'builtin',
      status: 'completed',
      result: '1180591620717411303424',
      is_error: false,
    },
  ]);
  const types = (await system.api.events(id)).map(({ type }) => type);
  expect(types.filter((type) => type.startsWith('tool.') || type.includes('action'))).toEqual([
    'tool.called',
    'tool.completed',
  ]);
});

it('is listed as available, with the schema of its input, and gives no warning', async () => {
  const created = await session();
  expect(created.warnings).toEqual([]);
  expect((await get(created.id, 'tools')).data).toMatchObject([
    {
      name: 'calculator',
      type: 'builtin',
      available: true,
      reason: null,
      parameters: { required: ['expression'] },
    },
  ]);
});

it('tells the model what was wrong, and the session goes on', async () => {
  const { id } = await session();
  const failed = await system.api.send(id, call('1 +'));
  expect(failed).toMatchObject({ status: 'completed', tool_calls: [{ status: 'failed', is_error: true }] });
  const refused = await system.api.send(id, 'use tool calculator {"formula":"1+1"}');
  expect(refused.tool_calls).toMatchObject([
    { type: 'builtin', status: 'failed', is_error: true, result: expect.stringContaining('schema') },
  ]);
  expect((await system.api.send(id, call('1 + 1'))).tool_calls).toMatchObject([{ result: '2' }]);
});

it('runs at once beside a tool of the client, and the turn waits for that one only', async () => {
  const { id } = await session(['calculator', ORDERS]);
  const paused = await system.api.send(id, `use tool get_orders {} and ${call('6 * 7')}`);
  expect(paused.status).toBe('requires_action');
  const [orders, sum] = paused.tool_calls;
  expect(paused.waiting_for).toEqual([orders.id]);
  await eventually(
    () => get(id, `messages/${paused.id}`),
    ({ tool_calls }) => tool_calls[1].status === 'completed',
  );
  const closed = { status: 409, body: { error: { type: 'conflict_error', code: 'tool_call_closed' } } };
  for (const result of ['41', '42'])
    expect(await post(id, 'tool-results', { tool_call_id: sum.id, result })).toMatchObject(closed);
  const answer = await post(id, 'tool-results', { tool_call_id: orders.id, result: 'none', wait: true });
  expect(answer.body).toMatchObject({
    status: 'completed',
    tool_calls: [
      { name: 'get_orders', result: 'none' },
      { name: 'calculator', result: '42' },
    ],
  });
});

it('takes no result from a client while it runs either', async () => {
  const { id } = await session();
  const { body: accepted } = await post(id, 'messages', { content: ENDLESS, background: true });
  const calls = async () => (await get(id, `messages/${accepted.id}`)).tool_calls;
  const [running] = await eventually(calls, ([first]) => first?.status === 'running');
  expect(await post(id, 'tool-results', { tool_call_id: running.id, result: '1' })).toMatchObject({
    status: 409,
    body: { error: { code: 'tool_call_closed', message: expect.stringContaining('is run by the server') } },
  });
  expect((await calls())[0]).toMatchObject({ status: 'running', result: null });
  await post(id, 'interrupt');
});

it.each(['timeout_seconds', 'on_timeout', 'parameters'])(
  'has bounds of its own: an entry of a built-in tool with %s is refused by that name',
  async (field) => {
    const values = { timeout_seconds: 5, on_timeout: 'error', parameters: {} };
    const entry = { name: 'calculator', [field]: values[field as keyof typeof values] };
    const { id } = await session([]);
    expect(await post(id, 'tools', entry)).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', param: expect.stringMatching(field) } },
    });
  },
);

it('is ended with its turn by an interrupt, within a second, and answers the next one', async () => {
  const { id } = await session();
  const { body: accepted } = await post(id, 'messages', { content: ENDLESS, background: true });
  const calls = async () => (await get(id, `messages/${accepted.id}`)).tool_calls;
  await eventually(calls, ([first]) => first?.status === 'running');
  const before = Date.now();
  expect((await post(id, 'interrupt')).status).toBe(200);
  expect(Date.now() - before).toBeLessThan(1_000);
  expect(await get(id, `messages/${accepted.id}`)).toMatchObject({
    status: 'interrupted',
    tool_calls: [{ status: 'cancelled', is_error: true }],
  });
  expect((await system.api.send(id, call('1 + 1'))).tool_calls).toMatchObject([{ result: '2' }]);
  const results = (await system.api.events(id)).filter(({ type }) => type === 'tool.completed');
  expect(results).toHaveLength(2);
});

it('keeps its open call when it is taken from the session, and is not offered in the next turn', async () => {
  const { id } = await session(['calculator', ORDERS]);
  const paused = await system.api.send(id, `use tool get_orders {} and ${call('1 + 1')}`);
  expect((await system.api.call('DELETE', `/v1/sessions/${id}/tools/calculator`)).status).toBe(200);
  const [orders] = paused.tool_calls;
  const answer = await post(id, 'tool-results', { tool_call_id: orders.id, result: 'none', wait: true });
  expect(answer.body.tool_calls[1]).toMatchObject({ name: 'calculator', result: '2' });
  expect((await system.api.send(id, call('1 + 1'))).tool_calls).toEqual([]);
});

it('gives a result that every store and model take, though the expression cuts a character in half', async () => {
  const { id } = await session();
  const half = await system.api.send(id, call('"a\u{1F600}"[1:2]'));
  expect(half).toMatchObject({ status: 'completed', tool_calls: [{ result: 'a\uFFFD', is_error: false }] });
  expect((await system.api.send(id, 'And now?')).status).toBe('completed');
});
