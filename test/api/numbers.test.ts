// Numbers of models and clients keep their digits wherever they go: the raw bytes of every channel, and what the model is sent.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import { block, openStream, textBlock, whole } from '../models/support.ts';
import { eventually } from '../support/api-client.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { openSocket } from '../support/socket-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

/** Numbers that a double would round, or write differently, or both. */
const NUMBERS =
  '[12345678901234567890,9007199254740993,0.12345678901234567890,1.10,1E5,-0,0.1,"1e999, 1.10",1e-400]';

/** The texts of the requests that the model got. */
const asked: string[] = [];
/** The parts of the model's answers, in turn; when they are used up it says that it is done. */
let answers: string[][] = [];
const double = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    asked.push(Buffer.concat(chunks).toString());
    openStream(response).end(whole(...(answers.shift() ?? [textBlock(0, 'Done.')])));
  });
});

let system: TestSystem;
let receiver: Receiver;
let closeModel: () => Promise<void>;
beforeAll(async () => {
  await new Promise<void>((resolve) => double.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(double.address() as AddressInfo).port}`;
  const model = createAnthropicModel({ apiKey: 'test-key-of-the-numbers', baseUrl });
  closeModel = model.close;
  receiver = await startReceiver();
  system = await startTestSystem({ model });
  await system.api.post('/v1/webhooks', { url: receiver.url, events: ['*'] });
});
afterAll(async () => {
  await system.stop();
  await closeModel();
  await receiver.stop();
  double.closeAllConnections();
  await new Promise((resolve) => double.close(resolve));
});
beforeEach(() => {
  asked.length = 0;
  answers = [];
});

let calls = 0;
/** A call whose input comes in pieces, as text. */
function call(input: string): string {
  calls += 1;
  const start = { type: 'tool_use', id: `toolu_${calls}`, name: 'look_up', input: {} };
  const pieces = input.match(/.{1,7}/gs) ?? [];
  return block(
    0,
    start,
    pieces.map((partial_json) => ({ type: 'input_json_delta', partial_json })),
  );
}

/** The text of an answer. */
async function raw(method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  const response = await fetch(system.url + path, {
    method,
    headers: {
      authorization: `Bearer ${system.adminKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const tool = (properties = '{}') =>
  `{"name":"look_up","description":"Looks up","parameters":{"type":"object","properties":${properties}}}`;

async function createSession(tools: string[] = [tool()]): Promise<string> {
  const { text } = await raw('POST', '/v1/sessions', `{"model":"claude-haiku","tools":[${tools}]}`);
  return JSON.parse(text).id;
}

const post = (id: string, path: string, body: string, headers = {}) =>
  raw('POST', `/v1/sessions/${id}/${path}`, body, headers);

/** A session whose turn waits for the result of a call with this input. */
async function startWaiting(input = '{}') {
  const id = await createSession();
  answers = [[call(input)]];
  const { text } = await post(id, 'messages', '{"content":"Look it up"}');
  return { id, text, message: JSON.parse(text), callId: JSON.parse(text).tool_calls[0].id as string };
}

const asText = (json: string) => JSON.stringify(json).slice(1, -1);

describe('the input of a call', () => {
  it('keeps its digits in every answer, stream and page, and in what the model is sent back', async () => {
    const input = `{"n":${NUMBERS}}`;
    const id = await createSession();
    const frames: string[] = [];
    const socket = await openSocket(`${system.url}/v1/sessions/${id}/ws`, { key: system.adminKey });
    socket.socket.on('message', (data) => frames.push(String(data)));
    answers = [[call(input)]];
    const streamed = await post(id, 'messages', '{"content":"Look it up","stream":true}');
    const parameters = `"parameters":${input}`;
    expect(streamed.text.split('event: tool_call')[1]).toContain(parameters);
    expect(streamed.text.split('event: message')[1]).toContain(parameters);
    for (const path of ['', '/messages', '/events?limit=100', '/tool-calls', '/state'])
      expect((await raw('GET', `/v1/sessions/${id}${path}`)).text).toContain(parameters);
    await eventually(
      async () => frames.filter((frame) => frame.includes(parameters)),
      ({ length }) => length >= 2,
    );
    const sent = await receiver.until((all) =>
      all.some(({ body }) => body.includes(id) && body.includes('requires_action')),
    );
    const called = sent.filter(({ body, event }) => body.includes(id) && event.type === 'tool.called');
    expect(called.map(({ body }) => body.includes(parameters))).toEqual([true]);
    const callId = JSON.parse(frames.find((frame) => frame.includes('"tool_call"')) ?? '').tool_call.id;
    await post(id, 'tool-results', `{"tool_call_id":"${callId}","result":"ok","wait":true}`);
    expect(asked[1]).toContain(`"input":${input}`);
    await post(id, 'messages', '{"content":"And on"}');
    expect(asked[2]).toContain(`"input":${input}`);
    socket.socket.terminate();
  });

  it('that came whole with the start of its block keeps them, too', async () => {
    const id = await createSession();
    const start = block(
      0,
      { type: 'tool_use', id: 'toolu_whole', name: 'look_up', input: { n: 'NUMBERS' } },
      [],
    );
    answers = [[start.replace('"NUMBERS"', NUMBERS)]];
    const { text } = await post(id, 'messages', '{"content":"Look it up"}');
    expect(text).toContain(`"parameters":{"n":${NUMBERS}}`);
  });

  it.each(['1e999', '-1e400', `1${'0'.repeat(400)}`])(
    'that holds %s is an error result to the model',
    async (huge) => {
      const id = await createSession();
      answers = [[call(`{"n":[1,{"a":${huge}}]}`)]];
      const { text } = await post(id, 'messages', '{"content":"Look it up"}');
      expect(JSON.parse(text)).toMatchObject({
        status: 'completed',
        content: 'Done.',
        tool_calls: [{ is_error: true, result: expect.stringContaining('1.8e308') }],
      });
      expect(asked[1]).toContain('"is_error":true');
    },
  );

  it('is checked against the schema of its tool by its digits', async () => {
    const properties =
      '{"n":{"type":"integer","maximum":9223372036854775807},"s":{"default":12345678901234567890}}';
    const id = await createSession([tool(properties)]);
    answers = [[call('{"n":9223372036854775808}')], [call('{"n":9223372036854775807}')]];
    const { text } = await post(id, 'messages', '{"content":"Look it up"}');
    expect(JSON.parse(text)).toMatchObject({ tool_calls: [{ is_error: true }, { is_error: false }] });
    expect(text).toContain('at most 9223372036854775807');
    expect(text).toContain('"parameters":{"n":9223372036854775807,"s":12345678901234567890}');
  });
});

describe('the schema of a tool', () => {
  it('keeps its digits in the list of tools and in what the model is offered', async () => {
    const id = await createSession([tool('{"n":{"default":12345678901234567890,"multipleOf":0.10}}')]);
    const kept = '"properties":{"n":{"default":12345678901234567890,"multipleOf":0.10}}';
    expect((await raw('GET', `/v1/sessions/${id}/tools`)).text).toContain(kept);
    await post(id, 'messages', '{"content":"Hello"}');
    // The translation for the wire may order keywords anew.
    expect(asked[0]).toContain('"default":12345678901234567890');
    expect(asked[0]).toContain('"multipleOf":0.10');
    const other = tool(`{"m":{"enum":${NUMBERS}}}`).replace('look_up', 'other');
    expect((await post(id, 'tools', other)).text).toContain(`"enum":${NUMBERS}`);
    await post(id, 'messages', '{"content":"Hello"}');
    expect(asked[1]).toContain(`"enum":${NUMBERS}`);
  });

  it('is refused with a number beyond a double, by the name of the field', async () => {
    const body = `{"model":"claude-haiku","tools":[${tool('{"n":{"default":1e999}}')}]}`;
    const { status, text } = await raw('POST', '/v1/sessions', body);
    expect(status).toBe(400);
    expect(JSON.parse(text).error.param).toBe('tools[0].parameters.properties.n.default');
  });
});

describe('the result of a call', () => {
  it.each([
    ['a value', `{"n":${NUMBERS}}`],
    ['a number', '12345678901234567890'],
    ['a number with a zero at its end', '1.10'],
  ])('keeps its digits: %s', async (_name, result) => {
    const { id, callId } = await startWaiting();
    const submitted = await post(
      id,
      'tool-results',
      `{"tool_call_id":"${callId}","result":${result},"wait":true}`,
    );
    const kept = `"result":${result}`;
    expect(submitted.text).toContain(kept);
    for (const path of ['', '/messages', '/events?limit=100', '/tool-calls'])
      expect((await raw('GET', `/v1/sessions/${id}${path}`)).text).toContain(kept);
    expect(asked[1]).toContain(`"content":"${asText(result)}"`);
    const sent = await receiver.until((all) =>
      all.some(({ body, event }) => body.includes(id) && event.type === 'message.completed'),
    );
    const completed = sent.filter(({ body, event }) => body.includes(id) && event.type === 'tool.completed');
    expect(completed.map(({ body }) => body.includes(kept))).toEqual([true]);
  });

  it('is another one when any digit differs, and the same when only its spelling does', async () => {
    const { id, callId } = await startWaiting();
    const submit = (result: string) =>
      post(id, 'tool-results', `{"tool_call_id":"${callId}","result":${result},"wait":true}`);
    expect((await submit('[9007199254740993,1.10]')).status).toBe(200);
    expect((await submit('[9007199254740993, 1.1]')).status).toBe(200);
    expect((await submit('[9007199254740992,1.10]')).status).toBe(409);
  });

  it.each(['1e999', '-1e400'])('is refused with %s, by the name of the field', async (huge) => {
    const { id, callId } = await startWaiting();
    const refused = await post(id, 'tool-results', `{"tool_call_id":"${callId}","result":{"a":[${huge}]}}`);
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text).error.param).toBe('result.a[0]');
    const socket = await openSocket(`${system.url}/v1/sessions/${id}/ws`, { key: system.adminKey });
    socket.socket.send(
      `{"type":"tool_result","tool_call_id":"${callId}","result":{"a":[${huge}]},"request_id":"r"}`,
    );
    expect(await socket.until(({ type }) => type === 'error')).toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining("'result.a[0]'"),
      request_id: 'r',
    });
    socket.socket.send(`{"type":"tool_result","tool_call_id":"${callId}","result":${NUMBERS}}`);
    await socket.until(({ type, message }) => type === 'message' && message.status === 'completed');
    expect((await raw('GET', `/v1/sessions/${id}/tool-calls`)).text).toContain(`"result":${NUMBERS}`);
    socket.socket.terminate();
  });
});

describe('a message', () => {
  it('keeps the digits of its JSON blocks', async () => {
    const id = await createSession();
    const content = `[{"type":"json","value":{"n":${NUMBERS}}}]`;
    const { status } = await post(id, 'messages', `{"content":${content}}`);
    expect(status).toBe(200);
    expect(asked[0]).toContain(asText(`{"n":${NUMBERS}}`));
    expect((await raw('GET', `/v1/sessions/${id}/messages`)).text).toContain(`"content_blocks":${content}`);
  });

  it('has plain numbers in our own fields, however they are written', async () => {
    const id = await createSession();
    const changed = await raw(
      'PATCH',
      `/v1/sessions/${id}`,
      '{"temperature":0.50,"expires_after_seconds":1e2}',
    );
    expect(changed.text).toContain('"temperature":0.5,');
    expect(changed.text).toContain('"expires_after_seconds":100,');
    expect((await post(id, 'messages', '{"content":"Hi","max_tokens":1e3}')).status).toBe(200);
    expect(asked[0]).toContain('"max_tokens":1000,');
    const refused = await post(id, 'messages', '{"content":"Hi","max_tokens":12345678901234567890}');
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text).error.param).toBe('max_tokens');
    const text = await post(id, 'messages', '{"content":12345678901234567890}');
    expect(JSON.parse(text.text).error).toMatchObject({ param: 'content' });
    const parameters = await post(id, 'tools', '{"name":"x","description":"x","parameters":1.10}');
    expect(JSON.parse(parameters.text).error.message).toBe(
      "The 'parameters' field must be an object, not a number",
    );
  });
});

describe('an Idempotency-Key', () => {
  const send = (id: string, number: string, key: string, more = '') =>
    post(
      id,
      'messages',
      `{"content":[{"type":"json","value":{"a":${number},"b":1}}]${more},"background":true}`,
      {
        'idempotency-key': key,
      },
    );

  it.each([
    ['9007199254740993', '9007199254740992'],
    ['0.12345678901234567', '0.12345678901234568'],
    ['1e-400', '1e-401'],
  ])('tells bodies apart by any digit: %s and %s', async (one, other) => {
    const id = await createSession();
    const key = `digits ${one}`;
    expect((await send(id, one, key)).status).toBe(202);
    expect((await send(id, one, key)).headers.get('idempotent-replayed')).toBe('true');
    expect((await send(id, other, key)).status).toBe(422);
  });

  it.each([
    ['1.0', '1'],
    ['1e2', '100'],
    ['-0', '0'],
  ])('takes the spelling of a number for none of its digits: %s and %s', async (one, other) => {
    const id = await createSession();
    const key = `spelling ${one}`;
    expect((await send(id, one, key)).status).toBe(202);
    expect((await send(id, other, key)).headers.get('idempotent-replayed')).toBe('true');
  });

  it('tells apart our own fields, too', async () => {
    const id = await createSession();
    const temperature = (digit: number) => `,"temperature":0.1234567890123456${digit}`;
    expect((await send(id, '1', 'temperature', temperature(1))).status).toBe(202);
    expect((await send(id, '1', 'temperature', temperature(2))).status).toBe(422);
  });
});
