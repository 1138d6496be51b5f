// What a client is told of each result that it submits: first, again, late, wrong; and the lists of calls. Acceptance tests 44 and 45.
import { eventually } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(() => system.stop());

const TOOL = {
  name: 'look_up',
  description: 'Looks something up',
  parameters: { type: 'object', properties: { key: { type: 'string' } } },
};

/** A session whose turn waits for the results of so many calls. */
async function startWaiting(count = 1, fields: Record<string, unknown> = {}) {
  const tool = { ...TOOL, ...fields };
  const { id } = await system.api.session({ tools: [tool] });
  const asked = Array.from({ length: count }, (_, n) => `use tool ${tool.name} {"key":"k${n}"}`).join(' ');
  const reply = await system.api.send(id, asked);
  const calls: string[] = reply.tool_calls.map((call: { id: string }) => call.id);
  return { id, replyId: reply.id as string, calls, call: calls[0]! };
}

const submit = (id: string, body: unknown, headers?: Record<string, string>) =>
  system.api.post(`/v1/sessions/${id}/tool-results`, body, headers);

const untilOver = (id: string, replyId: string) =>
  eventually(
    async () => (await system.api.get(`/v1/sessions/${id}/messages/${replyId}`)).body,
    ({ status }) => ['completed', 'failed', 'interrupted'].includes(status),
  );

const closed = { status: 409, body: { error: { type: 'conflict_error', code: 'tool_call_closed' } } };

describe('test 44: a result that comes after the time of its tool', () => {
  it.each([
    ['error', 'completed'],
    ['fail', 'failed'],
  ])('is refused: on_timeout %s', async (on_timeout, status) => {
    const { id, replyId, call } = await startWaiting(1, { timeout_seconds: 1, on_timeout });
    expect(await untilOver(id, replyId)).toMatchObject({ status });
    expect(await submit(id, { tool_call_id: call, result: 'late' })).toMatchObject(closed);
    const { data } = (await system.api.get(`/v1/sessions/${id}/tool-calls?status=timed_out`)).body;
    expect(data).toMatchObject([{ id: call, status: 'timed_out', is_error: true }]);
    const events = await system.api.events(id);
    expect(events.filter(({ type }) => type === 'tool.completed')).toHaveLength(1);
  });
});

describe('a result that came before', () => {
  it.each([
    ['text', 'x'],
    ['an empty text', ''],
    ['null', null],
    ['false', false],
    ['nested', { a: [1.5, { b: null }] }],
  ])('is answered as before: %s', async (_kind, result) => {
    const { id, replyId, call } = await startWaiting(2);
    const body = { tool_call_id: call, result };
    const [first, again] = [await submit(id, body), await submit(id, body)];
    expect(first).toMatchObject({ status: 200, body: { message: { id: replyId } } });
    expect(again.status).toBe(200);
    expect(again.body).toEqual(first.body);
  });

  it('is the same number, however it is written', async () => {
    const { id, call } = await startWaiting();
    for (const zero of ['-0', '0', '0.0']) {
      const response = await fetch(`${system.url}/v1/sessions/${id}/tool-results`, {
        method: 'POST',
        headers: { authorization: `Bearer ${system.api.key}`, 'content-type': 'application/json' },
        body: `{"tool_call_id":"${call}","result":[${zero}]}`,
      });
      expect(response.status).toBe(200);
      await response.json();
    }
  });

  it('as an error of the tool, is told to the model as one', async () => {
    const { id, call } = await startWaiting();
    const body = { tool_call_id: call, result: 'The shop is closed', is_error: true };
    const answer = await submit(id, { ...body, wait: true });
    expect(answer).toMatchObject({
      status: 200,
      body: { status: 'completed', tool_calls: [{ status: 'completed', is_error: true }] },
    });
    expect((await submit(id, body)).status).toBe(200);
    expect(await submit(id, { ...body, is_error: false })).toMatchObject(closed);
  });

  it.each([
    ['with its Idempotency-Key', { 'Idempotency-Key': 'again' }],
    ['without a key', {}],
  ])('and is streamed, shows the same rest of the turn: %s', async (_name, headers) => {
    const { id, call, calls } = await startWaiting(2);
    const partial = { tool_call_id: calls[1], result: 'two', stream: true };
    const whole = { tool_call_id: call, result: 'one', stream: true };
    const keyed = (name: string) =>
      Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, `${value} ${name} ${id}`]));
    const first = await submit(id, partial, keyed('partial'));
    expect(first.body).toMatchObject([
      { event: 'message', data: { message: { status: 'requires_action', waiting_for: [call] } } },
    ]);
    const rest = await submit(id, whole, keyed('whole'));
    expect(rest.body.map(({ event }: any) => event)).toEqual(
      expect.arrayContaining(['content_start', 'content_delta', 'content_end']),
    );
    expect(rest.body.at(-1)).toMatchObject({
      event: 'message',
      data: { message: { status: 'completed' } },
    });
    expect((await submit(id, whole, keyed('whole'))).body).toEqual(rest.body);
    expect((await submit(id, partial, keyed('partial'))).body).toEqual(first.body);
  });
});

describe('results that come one by one', () => {
  it('are in the log once each, and whole in the reply: what is still asked for says where it is', async () => {
    const { id, replyId, calls } = await startWaiting(6);
    const result = 'r'.repeat(30_000);
    for (const call of calls) {
      const { body } = await submit(id, { tool_call_id: call, result });
      expect(body.message.tool_calls.filter((each: any) => each.result === result)).toHaveLength(
        calls.indexOf(call) + 1,
      );
    }
    const reply = await untilOver(id, replyId);
    expect(reply.tool_calls.map((each: any) => each.result)).toEqual(calls.map(() => result));
    const events = await system.api.events(id);
    const asking = events.filter(({ type }) => type === 'message.requires_action');
    expect(asking).toHaveLength(6);
    for (const { message } of asking)
      expect(message.tool_calls.map((each: any) => each.result)).toEqual(calls.map(() => null));
    const url = `/v1/sessions/${id}/messages/${replyId}`;
    expect(asking.map((event) => event.url ?? null)).toEqual([null, ...Array(5).fill(url)]);
    expect((await system.api.get(url)).body).toEqual(reply);
    const holding = events.filter((event) => JSON.stringify(event).length > 30_000).map(({ type }) => type);
    expect(holding).toEqual([...calls.map(() => 'tool.completed'), 'message.completed']);
  });
});

describe('several results in one request', () => {
  it('may name a call twice with the same result', async () => {
    const { id, call } = await startWaiting();
    const one = { tool_call_id: call, result: 'x' };
    expect(await submit(id, { results: [one, one] })).toMatchObject({
      status: 200,
      body: { tool_calls: [{ id: call }, { id: call }], pending: [] },
    });
    const events = await system.api.events(id);
    expect(events.filter(({ type }) => type === 'tool.completed')).toHaveLength(1);
  });

  it('are refused, all of them, when a call has two results, or one of them is late', async () => {
    const { id, call, calls } = await startWaiting(2);
    const one = { tool_call_id: call, result: 'x' };
    expect(await submit(id, { results: [one, { ...one, result: 'y' }] })).toMatchObject(closed);
    await submit(id, { tool_call_id: calls[1], result: 'two' });
    const late = { results: [one, { tool_call_id: calls[1], result: 'other' }] };
    expect(await submit(id, late)).toMatchObject(closed);
    const { data } = (await system.api.get(`/v1/sessions/${id}/tool-calls?status=awaiting_result`)).body;
    expect(data.map((each: { id: string }) => each.id)).toEqual([call]);
  });
});

describe('a request that is not well formed is refused with the name of the field', () => {
  const ok = { tool_call_id: 'call_x', result: 'x' };
  it.each<[any, string]>([
    [{}, 'tool_call_id'],
    [{ wait: true }, 'tool_call_id'],
    [{ result: 'x' }, 'tool_call_id'],
    [{ ...ok, tool_call_id: '' }, 'tool_call_id'],
    [{ ...ok, tool_call_id: 7 }, 'tool_call_id'],
    [{ ...ok, tool_call_id: 'c'.repeat(101) }, 'tool_call_id'],
    [{ tool_call_id: 'call_x' }, 'result'],
    [{ ...ok, is_error: 'no' }, 'is_error'],
    [{ ...ok, is_error: null }, 'is_error'],
    [{ ...ok, wait: 1 }, 'wait'],
    [{ ...ok, stream: 'yes' }, 'stream'],
    [{ ...ok, wait: true, stream: true }, 'stream'],
    [{ ...ok, output: 'x' }, 'output'],
    [{ results: [] }, 'results'],
    [{ results: 'x' }, 'results'],
    [{ results: [ok, { result: 'x' }] }, 'results[1].tool_call_id'],
    [{ results: [{ tool_call_id: 'call_x' }] }, 'results[0].result'],
    [{ results: [{ ...ok, is_error: 1 }] }, 'results[0].is_error'],
    [{ results: [{ ...ok, wait: true }] }, 'results[0].wait'],
  ])('%j', async (body, param) => {
    const { id } = await system.api.session({ tools: [TOOL] });
    expect(await submit(id, body)).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', param } },
    });
  });
});

it('a request that names no call is told which field is missing, and one for an unknown call which it was', async () => {
  const { id } = await system.api.session({ tools: [TOOL] });
  expect((await submit(id, {})).body.error.message).toBe("The 'tool_call_id' field is required");
  const unknown = { tool_call_id: 'call_unknown', result: 'x' };
  const message = "No such tool call: 'call_unknown'";
  for (const [body, param] of [
    [unknown, 'tool_call_id'],
    [{ results: [unknown] }, 'results[0].tool_call_id'],
  ])
    expect((await submit(id, body)).body.error).toMatchObject({ code: 'not_found', message, param });
});

it('more than 100 results at once are refused with the limit', async () => {
  const { id } = await system.api.session({ tools: [TOOL] });
  const results = Array.from({ length: 101 }, () => ({ tool_call_id: 'call_x', result: 'x' }));
  expect(await submit(id, { results })).toMatchObject({
    status: 400,
    body: { error: { param: 'results', message: "The 'results' field must have at most 100 items" } },
  });
});

it('a result that is larger than a body may be is refused, and the call waits on', async () => {
  const { id, call } = await startWaiting();
  const large = { tool_call_id: call, result: 'x'.repeat(5 * 1024 * 1024) };
  expect(await submit(id, large)).toMatchObject({
    status: 413,
    body: { error: { code: 'payload_too_large' } },
  });
  expect(await submit(id, { tool_call_id: call, result: 'small', wait: true })).toMatchObject({
    status: 200,
    body: { status: 'completed' },
  });
});

describe('the lists of tool calls', () => {
  it.each(['of the session', 'of the account'])('%s are filtered and paged', async (which) => {
    const name = which.replaceAll(' ', '_');
    const { id, calls } = await startWaiting(3, { name });
    const path = which === 'of the session' ? `/v1/sessions/${id}/tool-calls` : '/v1/tool-calls';
    const list = async (query: string) => (await system.api.get(`${path}?${query}`)).body;
    await submit(id, { tool_call_id: calls[1], result: 'x' });
    const ids = ({ data }: any) => data.map((call: { id: string }) => call.id).sort();
    expect(ids(await list(`name=${name}`))).toEqual([...calls].sort());
    expect(ids(await list(`name=${name}&status=completed`))).toEqual([calls[1]]);
    expect(ids(await list(`name=${name}&status=completed,awaiting_result`))).toEqual([...calls].sort());
    expect(ids(await list('name=nobody'))).toEqual([]);
    const first = await list(`name=${name}&limit=2`);
    expect(first).toMatchObject({ has_more: true, data: [{}, {}] });
    const second = await list(`name=${name}&limit=2&cursor=${first.next_cursor}`);
    expect(second).toMatchObject({ has_more: false, data: [{}] });
    expect([...ids(first), ...ids(second)].sort()).toEqual([...calls].sort());
    for (const [query, param] of [
      ['status=done', 'status'],
      ['name=', 'name'],
      ['tool=x', 'tool'],
    ])
      expect(await system.api.get(`${path}?${query}`)).toMatchObject({
        status: 400,
        body: { error: { param } },
      });
  });
});
