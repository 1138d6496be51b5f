// The same calls as the integration guide makes, in our own words: these run also where the guide is not at hand.
import { createApiClient, readFrames } from '../support/api-client.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(cleanUp);

const TOOLS = ['calculator', 'web_search'];
const METADATA = { order: 'A-17', team: 'billing' };

it('a session is created with tools and metadata, and comes back with what was given', async () => {
  const { status, body } = await server.api.post('/v1/sessions', {
    model: 'claude-opus-4-20250514',
    system_prompt: 'You answer in one sentence.',
    tools: TOOLS,
    metadata: METADATA,
  });
  expect(status).toBe(201);
  expect(body).toMatchObject({
    model: 'claude-opus-4-20250514',
    status: 'active',
    tools: TOOLS,
    metadata: METADATA,
  });
  expect(body.id).toMatch(/^sess_[A-Za-z0-9]{24}$/);
  expect(body.created_at).toMatch(/Z$/);
  for (const name of ['web_search', 'claude-opus-4-20250514'])
    expect(body.warnings).toContainEqual(expect.stringContaining(`'${name}'`));
});

it('a conversation is held, read back with its messages and tokens, and found by its filters', async () => {
  const session = await server.api.session({ metadata: METADATA });
  const first = await server.api.send(session.id, 'My name is Ada.');
  const second = await server.api.send(session.id, 'What is my name?');
  expect(second.content).toContain('Ada');
  const { body } = await server.api.get(`/v1/sessions/${session.id}`);
  expect(body.messages.map((each: { role: string }) => each.role)).toEqual([
    'user',
    'assistant',
    'user',
    'assistant',
  ]);
  expect(body.messages[3].content).toBe(second.content);
  expect(body.token_count).toBe(first.usage.total_tokens + second.usage.total_tokens);
  const list = (query: string) => server.api.get(`/v1/sessions?${query}`);
  const idsOf = async (query: string) => (await list(query)).body.data.map((each: { id: string }) => each.id);
  expect(await idsOf('status=active&limit=50')).toContain(session.id);
  expect(await idsOf('status=archived&limit=50')).not.toContain(session.id);
  expect(await idsOf('model=claude-haiku&metadata[order]=A-17')).toEqual([session.id]);
  expect(await idsOf('metadata[order]=A-18')).toEqual([]);
});

it('a body-less GET may say that it is JSON', async () => {
  const { status } = await server.api.get('/v1/sessions', { 'Content-Type': 'application/json' });
  expect(status).toBe(200);
});

describe('a streamed answer', () => {
  const open = async (content: string) => {
    const { id } = await server.api.session();
    const response = await fetch(`${server.url}/v1/sessions/${id}/messages`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${server.api.key}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ content, stream: true }),
    });
    return { id, response, body: response.body as ReadableStream<Uint8Array> };
  };
  const stored = async (id: string) => (await server.api.get(`/v1/sessions/${id}`)).body.messages[1].content;

  /** Takes every read for whole events, as clients do that know nothing of buffering. */
  async function readWithoutBuffer(body: ReadableStream<Uint8Array>, pauseMs: number): Promise<string> {
    const reader = body.getReader();
    let text = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const lines = new TextDecoder().decode(read.value).split('\n');
      for (const line of lines.filter((each) => each.startsWith('data: '))) {
        const event = JSON.parse(line.slice('data: '.length));
        if (event.type === 'content_delta') text += event.text;
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return text;
  }

  it.each([0, 5])('reaches a reader without a buffer that pauses %d ms, whole', async (pauseMs) => {
    const { id, body } = await open('Straße 🙂 [[tokens=1000 token_ms=1]]');
    expect(await readWithoutBuffer(body, pauseMs)).toBe(await stored(id));
  });

  it('begins with the message, ends with it, and numbers its events upwards', async () => {
    const { id, response, body } = await open('Hello');
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const frames = [];
    for await (const frame of readFrames(body)) frames.push(frame);
    const types = frames.map(({ data }) => data.type);
    expect(types.slice(0, 2)).toEqual(['message.created', 'content_start']);
    expect(types.slice(-2)).toEqual(['content_end', 'message']);
    expect(new Set(types.slice(2, -2))).toEqual(new Set(['content_delta']));
    const numbers = frames.map((frame) => Number(frame.id));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(frames.at(-1)?.data.message.content).toBe(await stored(id));
  });
});

describe('an error', () => {
  it('names the missing field', async () => {
    const { status, body } = await server.api.post('/v1/sessions', { metadata: METADATA });
    expect(status).toBe(400);
    const message = "The 'model' field is required";
    expect(body).toEqual({
      error: { code: 'invalid_request', message, param: 'model', type: 'validation_error' },
    });
  });

  it('has one shape and the rate limit headers, whatever is wrong', async () => {
    const nobody = createApiClient(server.url, 'a-key-that-nobody-has');
    const ended = await server.api.session();
    await server.api.post(`/v1/sessions/${ended.id}/complete`);
    const write = { content: 'Hello' };
    const answers = [
      await nobody.get('/v1/sessions'),
      await server.api.get('/v1/sessions/sess_000000000000000000000000'),
      await server.api.get('/v1/unheard-of'),
      await server.api.post(`/v1/sessions/${ended.id}/messages`, write),
      await server.api.get('/v1/sessions?status=sleeping'),
    ];
    expect(answers.map(({ status, body }) => [status, body.error.code])).toEqual([
      [401, 'invalid_api_key'],
      [404, 'not_found'],
      [404, 'not_found'],
      [404, 'session_ended'],
      [400, 'invalid_request'],
    ]);
    for (const { headers, body } of answers) {
      expect(Object.keys(body.error)).toEqual(['code', 'message', 'param', 'type']);
      expect(headers.get('request-id')).toMatch(/^req_/);
      for (const name of ['limit', 'remaining', 'reset'])
        expect(headers.get(`x-ratelimit-${name}`)).toMatch(/^\d+$/);
    }
  });

  it('of too many calls says when to come back, and leaves other keys alone', async () => {
    const limited = await startServer({ env: { OPENCLAW_RATE_LIMIT_PER_MINUTE: '3' } });
    const { body: other } = await limited.api.post('/v1/api-keys', { name: 'other', level: 'read-only' });
    const statuses = [];
    for (let call = 0; call < 3; call += 1) statuses.push((await limited.api.get('/v1/sessions')).status);
    expect(statuses).toEqual([200, 200, 429]);
    const { headers, body } = await limited.api.get('/v1/sessions');
    expect(body.error).toMatchObject({ code: 'rate_limited', type: 'rate_limit_error' });
    expect(headers.get('retry-after')).toMatch(/^[1-9]\d?$/);
    expect(headers.get('x-ratelimit-limit')).toBe('3');
    expect(headers.get('x-ratelimit-remaining')).toBe('0');
    expect((await createApiClient(limited.url, other.key).get('/v1/sessions')).status).toBe(200);
    await limited.stop();
  });
});
