// The adapter against the simulator: what a turn sees of a good answer and of each failure.

import { stringifyJson } from '../../src/contracts/json.ts';
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import type { ModelRequest } from '../../src/models/port.ts';
import { type Simulator, startSimulator } from '../../src/models/simulator.ts';
import { API_KEY, collect, failureOf, requestOf, until } from './support.ts';

let simulator: Simulator;
let model: ReturnType<typeof createAnthropicModel>;
const bodies: Record<string, unknown>[] = [];

beforeAll(async () => {
  simulator = await startSimulator({
    tokenMs: 0,
    onCall: (_call, body) => bodies.push(body as Record<string, unknown>),
  });
  model = createAnthropicModel({ apiKey: API_KEY, baseUrl: simulator.url, silenceTimeoutMs: 300 });
});

afterAll(async () => {
  await model.close();
  await simulator.close();
});

const callsWith = (text: string) => simulator.calls.filter((call) => call.text === text);
const textOf = (blocks: { type: string; text?: unknown }[]) =>
  blocks.map((block) => block.text ?? '').join('');

describe('an answer', () => {
  test('comes in pieces that make up its block, and says that it is simulated', async () => {
    const { reply, pieces } = await collect(model, requestOf('Hello there'));
    expect(pieces.length).toBeGreaterThan(10);
    expect(reply.blocks).toEqual([{ type: 'text', text: pieces.join('') }]);
    expect(pieces.join('')).toMatch(/^\[simulated\] No model key is set/);
    expect(pieces.join('')).toContain('You said: "Hello there"');
    expect(reply).toMatchObject({ stopReason: 'end_turn', model: 'claude-sonnet-4-6' });
    expect(reply.usage.outputTokens).toBe(pieces.length);
    expect(reply.usage.inputTokens).toBeGreaterThan(0);
  });

  test('knows the conversation', async () => {
    const { pieces } = await collect(model, conversation('My name is Ada', 'Hello Ada', 'What is my name?'));
    expect(pieces.join('')).toContain('user message 2');
    expect(pieces.join('')).toContain('Before, you said: "My name is Ada"');
  });

  test('ends at max_tokens', async () => {
    const { reply, pieces } = await collect(model, requestOf('long [[tokens=50]]', { maxTokens: 10 }));
    expect(pieces).toHaveLength(10);
    expect(reply.stopReason).toBe('max_tokens');
  });

  test('passes other stop reasons on', async () => {
    const { reply } = await collect(model, requestOf('no [[stop_reason=refusal]]'));
    expect(reply.stopReason).toBe('refusal');
  });

  test('may be empty', async () => {
    const { reply, pieces } = await collect(model, requestOf('nothing [[empty]]'));
    expect(reply.blocks).toEqual([]);
    expect(pieces).toEqual([]);
  });

  test('keeps thoughts with their signature out of the visible text', async () => {
    const { reply, pieces } = await collect(model, requestOf('think [[thinking]]'));
    expect(reply.blocks[0]).toEqual({
      type: 'thinking',
      thinking: 'The simulator thinks about what was said.',
      signature: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
    });
    expect(pieces.join('')).not.toContain('thinks about');
  });

  test('waits with pings before the first token without being taken for silent', async () => {
    const patient = createAnthropicModel({
      apiKey: API_KEY,
      baseUrl: simulator.url,
      silenceTimeoutMs: 1_500,
    });
    const { reply } = await collect(patient, requestOf('slow [[delay_ms=2200]]'));
    expect(reply.stopReason).toBe('end_turn');
    await patient.close();
  });
});

describe('tools', () => {
  const tools = ['calculator', 'get_orders'].map((name) => ({
    name,
    description: `The ${name}`,
    inputSchema: { type: 'object', properties: {} },
  }));

  test('are called with parsed inputs, several at once', async () => {
    const text = 'use tool calculator {"expression":"2+2","deep":{"a":[1,"}"]}} and use tool get_orders';
    const { reply } = await collect(model, requestOf(text, { tools }));
    expect(reply.stopReason).toBe('tool_use');
    expect(reply.blocks).toEqual([
      {
        type: 'tool_use',
        id: expect.stringMatching(/^toolu_01/),
        name: 'calculator',
        input: { expression: '2+2', deep: { a: [1, '}'] } },
      },
      { type: 'tool_use', id: expect.stringMatching(/^toolu_01/), name: 'get_orders', input: {} },
    ]);
  });

  test('a call has the numbers that the text has, digit for digit', async () => {
    const numbers = '[12345678901234567890,1.10,1E5,-0]';
    const asked = requestOf(`use tool get_orders {"n":${numbers}}`, { tools });
    const { reply } = await collect(model, asked);
    expect(stringifyJson(reply.blocks.at(-1)?.input)).toBe(`{"n":${numbers}}`);
  });

  test('are talked about once their results are there', async () => {
    const asked = requestOf('use tool calculator {"expression":"2+2"}', { tools });
    const { reply } = await collect(model, asked);
    const results = reply.blocks.map((call) => ({ type: 'tool_result', tool_use_id: call.id, content: '4' }));
    const { reply: second } = await collect(model, {
      ...asked,
      messages: [
        ...asked.messages,
        { role: 'assistant', content: reply.blocks },
        { role: 'user', content: results },
      ],
    });
    expect(textOf(second.blocks)).toBe('[simulated] Tool calculator said: 4');
    expect(second.stopReason).toBe('end_turn');
  });
});

describe('a failure', () => {
  test.each([
    [400, 'model_invalid_request', false],
    [401, 'model_authentication', false],
    [403, 'model_authentication', false],
    [404, 'model_invalid_request', false],
    [408, 'model_unavailable', true],
    [409, 'model_unavailable', true],
    [413, 'model_invalid_request', false],
    [422, 'model_invalid_request', false],
    [429, 'model_overloaded', true],
    [500, 'model_unavailable', true],
    [503, 'model_unavailable', true],
    [529, 'model_overloaded', true],
  ])('with status %d is %s and no second call is made', async (status, code, retryable) => {
    const text = `fail [[status=${status}]]`;
    const error = await failureOf(collect(model, requestOf(text)));
    expect(error).toMatchObject({ code, retryable, status, retryAfterMs: null });
    expect(error.message).toContain(String(status));
    expect(callsWith(text)).toHaveLength(1);
  });

  test('tells how long to wait, from seconds and from a date', async () => {
    const seconds = await failureOf(collect(model, requestOf('busy [[status=429 retry_after=7]]')));
    expect(seconds.retryAfterMs).toBe(7_000);
    const date = await failureOf(collect(model, requestOf('busy [[status=429 retry_after_date=7]]')));
    expect(date.retryAfterMs).toBeGreaterThan(4_000);
    expect(date.retryAfterMs).toBeLessThanOrEqual(7_000);
  });

  test('of a prompt beyond the context has a code of its own', async () => {
    const error = await failureOf(collect(model, requestOf('long [[context_too_long]]')));
    expect(error).toMatchObject({ code: 'context_too_long', retryable: false, status: 400 });
  });

  test.each([
    ['cut_after=3', 'model_unavailable'],
    ['error_after=3', 'model_overloaded'],
    ['malformed_after=3', 'model_unavailable'],
    ['silent_after=3', 'model_unavailable'],
    ['cut_after=100000', 'model_unavailable'],
  ])('in the middle of the stream (%s) is retryable and tells the usage so far', async (marker, code) => {
    const text = `broken [[${marker}]]`;
    const pieces: string[] = [];
    const call = model.stream(requestOf(text), {
      signal: new AbortController().signal,
      onUsage: () => undefined,
      onText: (piece) => pieces.push(piece),
    });
    const error = await failureOf(call);
    expect(error).toMatchObject({ code, retryable: true, status: null });
    expect(error.usage.inputTokens).toBeGreaterThan(0);
    expect(pieces.length).toBeGreaterThanOrEqual(3);
    expect(callsWith(text)).toHaveLength(1);
  });

  test('of silence names the time limit and leaves no call behind', async () => {
    const text = 'silent [[silent_after=0]]';
    const error = await failureOf(collect(model, requestOf(text)));
    expect(error.message).toContain('silent for 300 ms');
    await until(() => callsWith(text)[0]?.outcome === 'aborted');
  });

  test('can be over after some tries of the same text', async () => {
    const text = 'flaky [[status=529]] [[times=2]]';
    await failureOf(collect(model, requestOf(text)));
    await failureOf(collect(model, requestOf(text)));
    const { reply } = await collect(model, requestOf(text));
    expect(reply.stopReason).toBe('end_turn');
    expect(callsWith(text).map((call) => [call.attempt, call.outcome])).toEqual([
      [1, 'failed'],
      [2, 'failed'],
      [3, 'completed'],
    ]);
  });
});

describe('an abort', () => {
  test('ends the call at once with the reason of the signal', async () => {
    const text = 'endless [[tokens=100000]] [[token_ms=10]]';
    const controller = new AbortController();
    const reason = new Error('interrupted by its owner');
    const call = model.stream(requestOf(text, { maxTokens: 100_000 }), {
      signal: controller.signal,
      onUsage: () => undefined,
      onText: () => controller.abort(reason),
    });
    await expect(call).rejects.toBe(reason);
    await until(() => callsWith(text)[0]?.outcome === 'aborted');
  });

  test('before the first byte ends the call too', async () => {
    const text = 'waiting [[delay_ms=60000]]';
    const controller = new AbortController();
    const call = collect(model, requestOf(text), controller.signal);
    call.catch(() => undefined);
    await until(() => callsWith(text).length === 1);
    controller.abort('stop');
    await expect(call).rejects.toBe('stop');
    await until(() => callsWith(text)[0]?.outcome === 'aborted');
  });

  test('that came earlier makes no call', async () => {
    const reason = new Error('gone');
    await expect(collect(model, requestOf('never sent'), AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(callsWith('never sent')).toHaveLength(0);
  });

  test('a consumer that throws ends the call, with its own error', async () => {
    const text = 'unwanted [[tokens=100000]] [[token_ms=10]]';
    const refusal = new Error('this writer is fenced off');
    const call = model.stream(requestOf(text, { maxTokens: 100_000 }), {
      signal: new AbortController().signal,
      onUsage: () => undefined,
      onText: () => {
        throw refusal;
      },
    });
    await expect(call).rejects.toBe(refusal);
    await until(() => callsWith(text)[0]?.outcome === 'aborted');
  });
});

test('fifty calls at once keep their answers apart', async () => {
  const texts = Array.from({ length: 50 }, (_, index) => `parallel ${index} [[tokens=60]] [[token_ms=2]]`);
  // Fifty of them on a busy machine are a silence of more than the other tests' 300 ms.
  const patient = createAnthropicModel({ apiKey: API_KEY, baseUrl: simulator.url });
  const answers = await Promise.all(texts.map((text) => collect(patient, requestOf(text))));
  await patient.close();
  answers.forEach(({ reply, pieces }, index) => {
    expect(pieces.join('')).toContain(`You said: "parallel ${index}"`);
    expect(textOf(reply.blocks)).toBe(pieces.join(''));
  });
});

describe('prompt caching', () => {
  const long = 'word '.repeat(3_000);

  test('marks the last tool, the system prompt and the last two messages of the user', async () => {
    const tools = ['one', 'two'].map((name) => ({
      name,
      description: name,
      inputSchema: { type: 'object' },
    }));
    await collect(model, { ...conversation('a', 'b', 'c'), system: 'Be kind', tools });
    const body = bodies.at(-1) as { tools: object[]; system: object[]; messages: { content: object[] }[] };
    const mark = { cache_control: { type: 'ephemeral' } };
    expect(body.tools[1]).toMatchObject(mark);
    expect(body.system).toEqual([{ type: 'text', text: 'Be kind', ...mark }]);
    expect(body.messages[0]?.content.at(-1)).toMatchObject(mark);
    expect(body.messages[2]?.content.at(-1)).toMatchObject(mark);
    expect(JSON.stringify(body).match(/cache_control/g)).toHaveLength(4);
  });

  test('reads on the second turn what the first has written', async () => {
    const first = await collect(model, requestOf('first turn', { system: long }));
    expect(first.reply.usage.cacheCreationInputTokens).toBeGreaterThan(3_000);
    expect(first.reply.usage.cacheReadInputTokens).toBe(0);
    const answer = textOf(first.reply.blocks);
    const second = await collect(model, {
      ...conversation('first turn', answer, 'second turn'),
      system: long,
    });
    expect(second.reply.usage.cacheReadInputTokens).toBe(first.reply.usage.cacheCreationInputTokens);
    expect(second.reply.usage.cacheCreationInputTokens).toBeLessThan(500);
  });
});

function conversation(...texts: string[]): ModelRequest {
  const messages = texts.map((text, index) => ({
    role: index % 2 === 0 ? ('user' as const) : ('assistant' as const),
    content: [{ type: 'text', text }],
  }));
  return requestOf('', { messages });
}
