// Custom tools through HTTP: the model calls one, the turn waits for its client, the result continues it.
import { eventually } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(() => system.stop());

const ORDERS = {
  name: 'get_orders',
  description: 'Retrieves order history for a customer',
  parameters: {
    type: 'object',
    properties: { customer_id: { type: 'string' }, limit: { type: 'integer', default: 10 } },
    required: ['customer_id'],
  },
};
/** The simulator calls the tool that it is asked for. */
const CALL = 'use tool get_orders {"customer_id":"cust_1"}';

/** The reply when it is over. */
const settled = (id: string, replyId: string) =>
  eventually(
    async () => await get(id, `messages/${replyId}`),
    ({ status }) => ['completed', 'failed', 'interrupted'].includes(status),
  );

const session = (tools: unknown[] = [ORDERS]) => system.api.session({ tools });
const post = (id: string, path: string, body: unknown) => system.api.post(`/v1/sessions/${id}/${path}`, body);
const get = async (id: string, path: string) => (await system.api.get(`/v1/sessions/${id}/${path}`)).body;

it('pauses for the result, and goes on with it', async () => {
  const { id } = await session();
  const paused = await system.api.send(id, CALL);
  expect(paused).toMatchObject({ status: 'requires_action', waiting_for: [expect.stringMatching(/^call_/)] });
  const [call] = paused.tool_calls;
  expect(call).toMatchObject({
    name: 'get_orders',
    type: 'custom',
    status: 'awaiting_result',
    parameters: { customer_id: 'cust_1', limit: 10 },
  });
  expect(await get(id, 'state')).toMatchObject({ phase: 'waiting_tool', waiting_for: [{ id: call.id }] });
  const answer = await post(id, 'tool-results', { tool_call_id: call.id, result: '["order 7"]', wait: true });
  expect(answer).toMatchObject({ status: 200, body: { id: paused.id, status: 'completed' } });
  expect(answer.body.content).toContain('order 7');
  expect(answer.body.tool_calls).toMatchObject([{ id: call.id, status: 'completed', result: '["order 7"]' }]);
  const types = (await system.api.events(id)).map(({ type }) => type);
  expect(types.filter((type) => type.startsWith('tool.') || type.includes('action'))).toEqual([
    'tool.called',
    'message.requires_action',
    'tool.completed',
  ]);
});

describe('the results of a turn', () => {
  const two = `${CALL} and use tool get_orders {"customer_id":"cust_2"}`;

  it('come one by one, and each time the rest is asked for again', async () => {
    const { id } = await session();
    const { tool_calls, id: replyId } = await system.api.send(id, two);
    const [first, second] = tool_calls;
    const half = await post(id, 'tool-results', { tool_call_id: second.id, result: 'two' });
    expect(half).toMatchObject({
      status: 200,
      body: {
        tool_call: { id: second.id, status: 'completed' },
        pending: [first.id],
        message: { id: replyId, status: 'requires_action', waiting_for: [first.id] },
      },
    });
    const whole = await post(id, 'tool-results', { tool_call_id: first.id, result: { n: 1 }, wait: true });
    expect(whole.body).toMatchObject({ status: 'completed' });
    const asked = (await system.api.events(id)).filter(({ type }) => type === 'message.requires_action');
    expect(asked.map(({ message }) => message.waiting_for)).toEqual([[first.id, second.id], [first.id]]);
  });

  it('come several at once, all or none', async () => {
    const { id } = await session();
    const { tool_calls } = await system.api.send(id, two);
    const results = tool_calls.map((call: any) => ({ tool_call_id: call.id, result: call.id }));
    const bad = { results: [...results, { tool_call_id: 'call_unknown', result: 1 }] };
    expect(await post(id, 'tool-results', bad)).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found', param: 'results[2].tool_call_id' } },
    });
    expect((await get(id, 'tool-calls')).data).toMatchObject([
      { status: 'awaiting_result' },
      { status: 'awaiting_result' },
    ]);
    const good = await post(id, 'tool-results', { results, wait: true });
    expect(good).toMatchObject({ status: 200, body: { status: 'completed' } });
  });

  it('of ten parallel calls in any order, from two clients, give one continuation', async () => {
    const { id } = await session();
    const calls = Array.from({ length: 10 }, (_, n) => `use tool get_orders {"customer_id":"c${n}"}`);
    const { tool_calls, id: replyId } = await system.api.send(id, calls.join(' '));
    expect(tool_calls).toHaveLength(10);
    const shuffled = [...tool_calls, ...tool_calls].sort(() => Math.random() - 0.5);
    const other = await system.as('test', 'standard');
    const answers = await Promise.all(
      shuffled.map((call: any, n: number) =>
        (n % 2 ? other : system.api).post(`/v1/sessions/${id}/tool-results`, {
          tool_call_id: call.id,
          result: `of ${call.id}`,
        }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const reply = await settled(id, replyId);
    expect(reply.status).toBe('completed');
    const events = await system.api.events(id);
    expect(events.filter(({ type }) => type === 'tool.completed')).toHaveLength(10);
    expect(events.filter(({ type }) => type === 'message.content_started')).toHaveLength(2);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  });

  it('test 44: twice, the same is answered as before; another one is refused', async () => {
    const { id } = await session();
    const { tool_calls } = await system.api.send(id, CALL);
    const body = { tool_call_id: tool_calls[0].id, result: { orders: [1, 2] } };
    await post(id, 'tool-results', { ...body, wait: true });
    expect(await post(id, 'tool-results', body)).toMatchObject({
      status: 200,
      body: { tool_call: { status: 'completed', result: { orders: [1, 2] } }, pending: [] },
    });
    const closed = { status: 409, body: { error: { code: 'tool_call_closed', type: 'conflict_error' } } };
    expect(await post(id, 'tool-results', { ...body, result: 'other' })).toMatchObject(closed);
    expect(await post(id, 'tool-results', { ...body, is_error: true })).toMatchObject(closed);
  });

  it('test 44: for an unknown call, or one of another session, are 404; after an interrupt 409; after the end 404', async () => {
    const [mine, other] = [await session(), await session()];
    const { tool_calls } = await system.api.send(mine.id, CALL);
    const body = { tool_call_id: tool_calls[0].id, result: 'x' };
    const unknown = { status: 404, body: { error: { code: 'not_found', param: 'tool_call_id' } } };
    expect(await post(other.id, 'tool-results', body)).toMatchObject(unknown);
    expect(await post(mine.id, 'tool-results', { ...body, tool_call_id: 'call_x' })).toMatchObject(unknown);
    const { body: stopped } = await post(mine.id, 'interrupt', {});
    expect(stopped.message).toMatchObject({
      status: 'interrupted',
      tool_calls: [{ status: 'cancelled', is_error: true }],
    });
    expect(await post(mine.id, 'tool-results', body)).toMatchObject({
      status: 409,
      body: { error: { code: 'tool_call_closed' } },
    });
    expect(await system.api.send(mine.id, 'and now?')).toMatchObject({ status: 'completed' });
    await post(mine.id, 'complete', {});
    expect(await post(mine.id, 'tool-results', body)).toMatchObject({
      status: 404,
      body: { error: { code: 'session_ended' } },
    });
  });

  it('survive a restart while the turn waits', async () => {
    const { id } = await session();
    const { tool_calls, id: replyId } = await system.api.send(id, CALL);
    await system.restart();
    await post(id, 'tool-results', { tool_call_id: tool_calls[0].id, result: 'after the restart' });
    const reply = await settled(id, replyId);
    expect(reply).toMatchObject({ status: 'completed' });
    expect(reply.content).toContain('after the restart');
  });
});

describe('a message behind a turn that waits for results', () => {
  it('is accepted at once and says what is missing, also as a stream', async () => {
    const { id } = await session();
    const { tool_calls } = await system.api.send(id, CALL);
    const waiting = { status: 'queued', waiting_for: [tool_calls[0].id] };
    for (const mode of [{}, { stream: true }]) {
      const answer = await post(id, 'messages', { content: 'Meanwhile', ...mode });
      expect(answer).toMatchObject({ status: 202, body: waiting });
      expect(answer.headers.get('content-type')).toMatch(/json/);
      expect(await get(id, `messages/${answer.body.id}`)).toMatchObject(waiting);
    }
    await post(id, 'tool-results', { tool_call_id: tool_calls[0].id, result: 'x', wait: true });
    const list = async () => (await get(id, 'messages')).data;
    const all = await eventually(list, (messages) =>
      messages.every((each: any) => each.status === 'completed'),
    );
    expect(all).toHaveLength(6);
  });
});

describe('what the model gets wrong is told to it, and never asked of the client', () => {
  it.each([
    ['an input that does not fit', 'use tool get_orders {"limit":"many"}', /does not fit/],
    ['an input of the wrong type', 'use tool get_orders {"customer_id":7}', /customer_id/],
  ])('%s', async (_name, content, words) => {
    const { id } = await session();
    const reply = await system.api.send(id, content);
    expect(reply).toMatchObject({ status: 'completed', tool_calls: [{ status: 'failed', is_error: true }] });
    expect(reply.tool_calls[0].result).toMatch(words);
    const events = await system.api.events(id);
    expect(events.map(({ type }) => type)).not.toContain('message.requires_action');
    const called = events.filter(({ type }) => type === 'tool.called');
    expect(called).toMatchObject([{ tool_call: { id: reply.tool_calls[0].id, status: 'running' } }]);
  });
});

describe('test 45: a tool that nobody answers', () => {
  it('is answered with an error when its time is over', async () => {
    const { id } = await session([{ ...ORDERS, timeout_seconds: 1 }]);
    const paused = await system.api.send(id, CALL);
    const reply = await settled(id, paused.id);
    expect(reply).toMatchObject({
      status: 'completed',
      tool_calls: [{ status: 'timed_out', is_error: true, result: 'No result came within 1 seconds.' }],
    });
    expect(await system.api.send(id, 'Hello')).toMatchObject({ status: 'completed' });
  });

  it('fails the reply when the tool says so, and the session goes on', async () => {
    const { id } = await session([{ ...ORDERS, timeout_seconds: 1, on_timeout: 'fail' }]);
    const paused = await system.api.send(id, CALL);
    const reply = await settled(id, paused.id);
    expect(reply).toMatchObject({ status: 'failed', error: { code: 'tool_timed_out' } });
    expect(await system.api.send(id, 'Hello')).toMatchObject({ status: 'completed' });
  });
});

describe('the tools of a session', () => {
  it('are added, replaced, listed and removed while it lives', async () => {
    const { id } = await session([]);
    expect(await post(id, 'tools', ORDERS)).toMatchObject({ status: 201, body: { name: 'get_orders' } });
    expect(await post(id, 'tools', { ...ORDERS, description: 'Other' })).toMatchObject({ status: 200 });
    expect((await get(id, 'tools')).data).toMatchObject([
      { name: 'get_orders', type: 'custom', description: 'Other', available: true },
    ]);
    expect((await system.api.get(`/v1/sessions/${id}`)).body.tools).toEqual(['get_orders']);
    expect(await system.api.send(id, CALL)).toMatchObject({ status: 'requires_action' });
    await post(id, 'interrupt', {});
    const gone = await system.api.call('DELETE', `/v1/sessions/${id}/tools/get_orders`);
    expect(gone).toMatchObject({ status: 200, body: { id: 'get_orders', deleted: true } });
    expect(await system.api.send(id, CALL)).toMatchObject({ status: 'completed', tool_calls: [] });
  });

  it.each([
    ['asc', [1, 2, 3, 4, 5]],
    ['desc', [5, 4, 3, 2, 1]],
  ])(
    'are each on one page, also when the last one of a page is removed and one is added: %s',
    async (order, shown) => {
      const tool = (n: number) => ({ ...ORDERS, name: `tool_${n}` });
      const { id } = await session([1, 2, 3, 4, 5].map(tool));
      const names: string[] = [];
      let cursor = '';
      do {
        const { data, next_cursor } = await get(id, `tools?limit=2&order=${order}${cursor}`);
        names.push(...data.map(({ name }: { name: string }) => name));
        if (cursor === '') {
          await system.api.delete(`/v1/sessions/${id}/tools/${names[1]}`);
          await post(id, 'tools', tool(6));
        }
        cursor = next_cursor && `&cursor=${next_cursor}`;
      } while (cursor);
      // What is added last comes last, or lies before the first page.
      expect(names).toEqual([...shown, ...(order === 'asc' ? [6] : [])].map((n) => `tool_${n}`));
    },
  );

  it.each([
    [{ ...ORDERS, name: 'knowledge_search' }, 'name'],
    [{ ...ORDERS, name: 'has space' }, 'name'],
    [{ ...ORDERS, description: '' }, 'description'],
    [{ name: 'get_orders', description: 'Without a schema' }, 'parameters'],
    [{ ...ORDERS, parameters: { type: 'array' } }, 'parameters.type'],
    [{ ...ORDERS, timeout_seconds: 0 }, 'timeout_seconds'],
    [{ ...ORDERS, other: 1 }, 'other'],
  ])('are refused with the name of the field: %j', async (tool, param) => {
    const { id } = await session([]);
    const answer = await post(id, 'tools', tool);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', param } } });
    const created = await system.api.post('/v1/sessions', { model: 'claude-haiku', tools: [tool] });
    expect(created).toMatchObject({ status: 400, body: { error: { param: `tools[0].${param}` } } });
  });
});

it('goes on across runs of the workflow, between steps and in the wait', async () => {
  const short = await startTestSystem({ runBounds: { turnsPerRunMax: 1 } });
  try {
    const { id } = await short.api.session({ tools: [ORDERS] });
    let message = await short.api.send(id, `[[rounds=3]] ${CALL}`);
    for (let step = 0; step < 3; step += 1) {
      const [call] = message.tool_calls.filter(({ status }: any) => status === 'awaiting_result');
      const body = { tool_call_id: call.id, result: `result ${step}`, wait: true };
      message = (await short.api.post(`/v1/sessions/${id}/tool-results`, body)).body;
    }
    expect(message).toMatchObject({ status: 'completed' });
    expect(message.tool_calls).toHaveLength(3);
    const steps = (await short.api.events(id)).filter(({ type }) => type === 'message.content_ended');
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    const events = await short.api.events(id);
    const streamed = events.filter(({ type }) => type === 'message.delta').map(({ text }) => text);
    expect(streamed.join('')).toBe(message.content);
    expect(message.content).toMatch(/^Round 1\.\n\nRound 2\.\n\nRound 3\.\n\n\[simulated\]/);
    expect(message.content_blocks.map(({ type }: any) => type)).toEqual([
      'text',
      'tool_call',
      'text',
      'tool_call',
      'text',
      'tool_call',
      'text',
    ]);
  } finally {
    await short.stop();
  }
});
