// The simulator as a stranger meets it: plain HTTP, no adapter.

import { type Simulator, type SimulatorCall, startSimulator } from '../../src/models/simulator.ts';
import { until } from './support.ts';

let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ tokenMs: 0 });
});

afterAll(() => simulator.close());

type Fields = Record<string, unknown>;

const HEADERS = { 'content-type': 'application/json', 'x-api-key': 'any', 'anthropic-version': '2023-06-01' };

const messageBody = (text: string, more: Fields = {}) => ({
  model: 'claude-haiku-5-5',
  max_tokens: 200,
  messages: [{ role: 'user', content: text }],
  ...more,
});

function post(body: unknown, { path = '/v1/messages', headers = HEADERS as Record<string, string> } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(simulator.url + path, { method: 'POST', headers, body: text });
}

async function answer(
  body: unknown,
): Promise<{ status: number; body: Fields & { content: Fields[]; usage: Fields } }> {
  const response = await post(body);
  return {
    status: response.status,
    body: (await response.json()) as Awaited<ReturnType<typeof answer>>['body'],
  };
}

/** The wire as pairs of event name and data. */
async function events(body: unknown): Promise<[string, Fields][]> {
  const response = await post(body);
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => {
      const [name = '', data = ''] = frame.split('\n');
      return [name.replace('event: ', ''), JSON.parse(data.replace('data: ', ''))];
    });
}

describe('an answer', () => {
  test('as JSON has the shape of a message and says that it is simulated', async () => {
    const response = await post(messageBody('Hello'));
    expect(response.status).toBe(200);
    expect(response.headers.get('request-id')).toMatch(/^req_01[A-Za-z0-9]{22}$/);
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^msg_01[A-Za-z0-9]{22}$/),
      type: 'message',
      role: 'assistant',
      model: 'claude-haiku-5-5',
      content: [{ type: 'text', text: expect.stringMatching(/^\[simulated\] .*You said: "Hello"/) }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: expect.any(Number),
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens: expect.any(Number),
        service_tier: 'standard',
      },
    });
  });

  test('as a stream has the events of the API in their order', async () => {
    const wire = await events(messageBody('Hello [[tokens=3]]', { stream: true }));
    expect(wire.map(([name]) => name)).toEqual([
      'message_start',
      'ping',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    for (const [name, data] of wire) expect(data.type).toBe(name);
  });

  test('is the same both ways', async () => {
    const whole = await answer(messageBody('the same'));
    const wire = await events(messageBody('the same', { stream: true }));
    const deltas = wire
      .filter(([name]) => name === 'content_block_delta')
      .map(([, data]) => data.delta as Fields);
    expect(deltas.map((delta) => delta.text).join('')).toBe(whole.body.content[0]?.text);
    const last = wire.find(([name]) => name === 'message_delta')?.[1] as { usage: Fields };
    expect(last.usage.output_tokens).toBe(whole.body.usage.output_tokens);
  });

  test('mentions the system prompt and the tools it was given', async () => {
    const tools = [{ name: 'get_orders', description: 'x', input_schema: { type: 'object' } }];
    const { body } = await answer(messageBody('Hi', { system: 'Be kind', tools }));
    expect(body.content[0]?.text).toContain('There is a system prompt. Tools I may use: get_orders.');
  });

  test('is only an echo when that is wanted', async () => {
    const echo = await startSimulator({ echoOnly: true, tokenMs: 0 });
    const response = await fetch(`${echo.url}/v1/messages`, {
      method: 'POST',
      headers: HEADERS,
      body: JSON.stringify(messageBody('just  this')),
    });
    expect(((await response.json()) as { content: Fields[] }).content[0]?.text).toBe(
      '[simulated] just  this',
    );
    await echo.close();
  });

  test('leaves markers out of what it quotes, and unknown ones in', async () => {
    const { body } = await answer(messageBody('a [[thinking]] b [[not=a marker of ours]]'));
    expect(body.content[1]?.text).toContain('You said: "a b [[not=a marker of ours]]"');
  });

  test('costs little time whatever the text is', async () => {
    for (const text of [
      '[[a=b '.repeat(100_000),
      `use tool t {"a${'}'.repeat(500_000)}`,
      `x${' '.repeat(500_000)}`,
    ]) {
      const startedAt = performance.now();
      expect((await answer(messageBody(text))).status).toBe(200);
      expect(performance.now() - startedAt).toBeLessThan(3_000);
    }
  });
});

describe('plain words', () => {
  const tool = (name: string, properties: Fields = {}, required = Object.keys(properties)) => ({
    name,
    input_schema: { type: 'object', properties, required },
  });
  const string = { type: 'string' };
  const callsFor = async (text: string, ...tools: Fields[]) =>
    (await answer(messageBody(text, { tools }))).body.content.filter(({ type }) => type === 'tool_use');

  test.each<[string, Fields, Fields]>([
    [
      'Where is the order of customer cust_12345?',
      tool('get_customer_orders', { id: string }),
      { id: 'cust_12345' },
    ],
    ['Show the stock, at most 5', tool('listStock', { limit: { type: 'integer' } }), { limit: 5 }],
    ['Weather in "New York" please', tool('get_weather', { city: string }), { city: 'New York' }],
    [
      'What is the express price?',
      tool('price', { kind: { enum: ['slow', 'express'] } }),
      { kind: 'express' },
    ],
    ['Read the news', tool('read-news'), {}],
  ])('%s calls the tool', async (text, offered, input) => {
    expect(await callsFor(text, offered)).toMatchObject([{ name: offered.name, input }]);
  });

  test.each<[string, Fields]>([
    ['Hello', tool('get_orders')],
    ['Where is my order?', tool('get_orders', { id: string })],
    ['Get it', tool('get')],
    [`order ${'x'.repeat(600)}`, tool('get_order')],
    ['Is the order there, a_1?', tool('get_orders', { id: string, flag: { type: 'boolean' } })],
  ])('%.40s calls none', async (text, offered) => {
    expect(await callsFor(text, offered)).toEqual([]);
  });
});

describe("a refusal has the API's shape", () => {
  const user = (content: unknown) => ({ role: 'user', content });
  const assistant = (content: unknown) => ({ role: 'assistant', content });
  const call = { type: 'tool_use', id: 'toolu_1', name: 't', input: {} };
  const result = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'x' };
  const text = (value: string) => ({ type: 'text', text: value });
  const marked = { ...text('x'), cache_control: { type: 'ephemeral' } };
  const tool = (name: string) => ({ name, input_schema: { type: 'object' } });

  test('without a key', async () => {
    const { 'x-api-key': _key, ...headers } = HEADERS;
    const response = await post(messageBody('x'), { headers });
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({
      type: 'error',
      error: { type: 'authentication_error', message: 'x-api-key header is required' },
      request_id: response.headers.get('request-id'),
    });
    const bearer = await post(messageBody('x'), { headers: { ...headers, authorization: 'Bearer y' } });
    expect(bearer.status).toBe(200);
  });

  test.each([
    ['no model', { model: undefined }, 'model'],
    ['no max_tokens', { max_tokens: undefined }, 'max_tokens'],
    ['no messages', { messages: [] }, 'messages'],
    ['an unknown role', { messages: [{ role: 'tool', content: 'x' }] }, 'role'],
    ['empty content', { messages: [user([])] }, 'non-empty'],
    ['empty text', { messages: [user([text('')])] }, 'non-empty'],
    ['blank text', { messages: [user([text(' \n')])] }, 'non-whitespace'],
    ['a first message of the assistant', { messages: [assistant('x'), user('y')] }, 'first message'],
    ['a last message of the assistant', { messages: [user('x'), assistant('y')] }, 'prefill'],
    ['an unanswered call', { messages: [user('x'), assistant([call]), user('y')] }, 'toolu_1'],
    ['a result too late', { messages: [user('x'), assistant([call]), user('y'), user([result])] }, 'toolu_1'],
    ['a result of no call', { messages: [user('x'), assistant('y'), user([result])] }, 'unexpected'],
    [
      'our own marker',
      { messages: [user('x'), assistant([{ ...call, invalid_input_json: '{' }]), user([result])] },
      'Extra',
    ],
    ['five breakpoints', { messages: [user([marked, marked, marked, marked, marked])] }, 'maximum of 4'],
    ['two tools of one name', { tools: [tool('a'), tool('a')] }, 'unique'],
  ])('for %s', async (_name, more, message) => {
    const { status, body } = await answer(messageBody('x', more));
    expect(status).toBe(400);
    expect(body.error).toEqual({ type: 'invalid_request_error', message: expect.stringContaining(message) });
  });

  test('for what is not JSON, and for paths that do not exist', async () => {
    expect((await post('{"model":')).status).toBe(400);
    expect((await post('[]')).status).toBe(400);
    expect((await post({}, { path: '/v1/complete' })).status).toBe(404);
  });

  test('for retired models, whose aliases have to be resolved before', async () => {
    const { status, body } = await answer(messageBody('x', { model: 'claude-sonnet-4-20250514' }));
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ type: 'not_found_error' });
  });

  test('for a temperature in the API version that has none', async () => {
    const body = messageBody('x', { temperature: 0.5 });
    expect((await post(body)).status).toBe(200);
    expect((await post(body, { headers: { ...HEADERS, 'anthropic-version': '2026-10-21' } })).status).toBe(
      400,
    );
  });

  test.each([
    [400, 'invalid_request_error'],
    [418, 'invalid_request_error'],
    [429, 'rate_limit_error'],
    [500, 'api_error'],
    [529, 'overloaded_error'],
  ])('for status %d on demand', async (status, type) => {
    const response = await post(messageBody(`x [[status=${status} retry_after=3]]`));
    expect(response.status).toBe(status);
    expect(response.headers.get('retry-after')).toBe('3');
    expect(((await response.json()) as { error: Fields }).error.type).toBe(type);
  });
});

describe('besides messages', () => {
  test('tokens are counted', async () => {
    const response = await post(messageBody('x'.repeat(400)), { path: '/v1/messages/count_tokens' });
    expect(((await response.json()) as Fields).input_tokens).toBeGreaterThan(99);
  });

  test('models are listed, current names only', async () => {
    const response = await fetch(`${simulator.url}/v1/models`, { headers: HEADERS });
    const { data } = (await response.json()) as { data: Fields[] };
    expect(data.map(({ id }) => id)).toContain('claude-haiku-5-5');
    expect(data.map(({ id }) => id)).not.toContain('claude-sonnet-4-20250514');
  });
});

describe('faults without a stream', () => {
  test('break the answer too', async () => {
    await expect(post(messageBody('x [[cut_after=0]]'))).rejects.toThrow();
    expect((await post(messageBody('x [[error_after=0]]'))).status).toBe(529);
    await expect(
      post(messageBody('x [[malformed_after=0]]')).then((response) => response.json()),
    ).rejects.toThrow();
  });
});

describe('calls', () => {
  test('can be counted by text while they come in', async () => {
    const seen: [SimulatorCall, Fields][] = [];
    const watched = await startSimulator({ onCall: (call, body) => seen.push([call, body as Fields]) });
    const send = () =>
      fetch(`${watched.url}/v1/messages`, {
        method: 'POST',
        headers: HEADERS,
        body: JSON.stringify(messageBody('count me')),
      });
    await Promise.all([send(), send()].map(async (response) => (await response).text()));
    await until(() => watched.calls.every((call) => call.outcome === 'completed'));
    expect(watched.calls.map(({ text, attempt }) => [text, attempt])).toEqual([
      ['count me', 1],
      ['count me', 2],
    ]);
    expect(seen[0]?.[0]).toBe(watched.calls[0]);
    expect(seen[0]?.[1]).toEqual(messageBody('count me'));
    await watched.close();
  });

  test('that are open are cut by close, and the port is free again', async () => {
    const first = await startSimulator();
    const port = Number(new URL(first.url).port);
    const open = fetch(`${first.url}/v1/messages`, {
      method: 'POST',
      headers: HEADERS,
      body: JSON.stringify(messageBody('x [[delay_ms=60000]]')),
    });
    open.catch(() => undefined);
    await until(() => first.calls.length === 1);
    await first.close();
    await expect(open).rejects.toThrow();
    const second = await startSimulator({ port });
    await second.close();
  });

  test('a port in use is an error', async () => {
    const port = Number(new URL(simulator.url).port);
    await expect(startSimulator({ port })).rejects.toThrow('EADDRINUSE');
  });
});
