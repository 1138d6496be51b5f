// The simulator refuses what the Messages API refuses, so that each suite checks our own requests.

import { signatureOf } from '../../src/models/simulator/signature.ts';
import { type Simulator, startSimulator } from '../../src/models/simulator.ts';

let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ tokenMs: 0 });
});

afterAll(() => simulator.close());

type Fields = Record<string, unknown>;

const user = (...content: Fields[]) => ({ role: 'user', content });
const assistant = (...content: Fields[]) => ({ role: 'assistant', content });
const text = (value: string) => ({ type: 'text', text: value });
const call = (id: string, more: Fields = {}) => ({
  type: 'tool_use',
  id,
  name: 'orders',
  input: {},
  ...more,
});
const result = (id: string, more: Fields = {}) => ({
  type: 'tool_result',
  tool_use_id: id,
  content: 'x',
  ...more,
});
const turn = (calls: Fields[], ...results: Fields[]) => [
  user(text('x')),
  assistant(...calls),
  user(...results),
];
const tool = (input_schema: unknown, name = 'orders') => ({ name, input_schema });
const object = (properties: Fields, more: Fields = {}) => ({ type: 'object', properties, ...more });
const thought = (thinking: string, signature: unknown = signatureOf(thinking)) => ({
  type: 'thinking',
  thinking,
  signature,
});

async function answerTo(more: Fields): Promise<{ status: number; message: string | undefined }> {
  const body = {
    model: 'claude-sonnet-4-6',
    max_tokens: 2_000,
    messages: [user(text('x'))],
    ...more,
  };
  const response = await fetch(`${simulator.url}/v1/messages`, {
    method: 'POST',
    headers: { 'x-api-key': 'any', 'anthropic-version': '2023-06-01' },
    body: JSON.stringify(body),
  });
  const { error } = (await response.json()) as { error?: { message: string } };
  return { status: response.status, message: error?.message };
}

const LONG_NAME = 'n'.repeat(129);

describe('takes', () => {
  test.each<[string, Fields]>([
    ['calls that are answered at once', { messages: turn([call('a'), call('b')], result('b'), result('a')) }],
    ['text behind the results', { messages: turn([call('a')], result('a'), text('and?')) }],
    ['an empty result without an error', { messages: turn([call('a')], result('a', { content: '' })) }],
    [
      'its own thoughts before a call',
      { messages: turn([thought('I look it up.'), call('a')], result('a')), thinking: { type: 'adaptive' } },
    ],
    ['temperature 1 with thinking', { thinking: { type: 'enabled', budget_tokens: 1_024 }, temperature: 1 }],
    [
      'schemas of draft 2020-12',
      {
        tools: [
          tool(
            object(
              {
                'a.b-c_D': { anyOf: [{ type: 'string' }, { type: 'null' }] },
                pair: { type: 'array', prefixItems: [{ type: 'string' }], items: false },
                size: { type: 'number', exclusiveMinimum: 0 },
              },
              { required: ['pair'], $defs: { x: true } },
            ),
          ),
        ],
      },
    ],
  ])('%s', async (_name, more) => {
    expect(await answerTo(more)).toEqual({ status: 200, message: undefined });
  });
});

describe('refuses', () => {
  test.each<[string, Fields, string]>([
    ['an unknown field', { fancy: true }, 'fancy: Extra inputs'],
    ['more tokens than the model has', { max_tokens: 1_000_000 }, 'maximum allowed number of output tokens'],
    ['a blank system prompt', { system: [text(' ')] }, 'system.0'],
    ['a system prompt that only Unicode calls blank', { system: [text('\u0085')] }, 'system.0'],
    ['a text that only Python calls blank', { messages: [user(text('\u001f \u001c'))] }, 'non-whitespace'],
    ['a text that only JavaScript calls blank', { messages: [user(text('\ufeff'))] }, 'non-whitespace'],
    [
      'a citation of another provider',
      { messages: [user({ ...text('x'), citations: [{ type: 'url_citation' }] })] },
      'messages.0.content.0.text.citations.0',
    ],
    ['half of a surrogate pair in a text', { messages: [user(text('\ud83d'))] }, 'lone surrogate'],
    [
      'half of a surrogate pair in the name of a field',
      { messages: turn([call('a', { input: { '\udc00': 1 } })], result('a')) },
      'lone surrogate',
    ],
    [
      'white space at the end of a final answer',
      { messages: [user(text('x')), assistant(text('y '))] },
      'trailing whitespace',
    ],
    [
      'an empty answer in the middle',
      { messages: [user(text('x')), assistant(), user(text('y'))] },
      'non-empty',
    ],
    ['a field that a block does not have', { messages: [user({ ...text('x'), step: 1 })] }, 'text.step'],
    ['a call in a message of the user', { messages: [user(call('a'))] }, 'not permitted in user messages'],
    [
      'a result in a message of the assistant',
      { messages: [user(text('x')), assistant(result('a')), user(text('y'))] },
      'not permitted in assistant messages',
    ],
  ])('%s', async (_name, more, message) => {
    expect(await answerTo(more)).toEqual({ status: 400, message: expect.stringContaining(message) });
  });

  test.each<[string, Fields, string]>([
    ['an id with a dot', { messages: turn([call('a.b:0')], result('a.b:0')) }, 'tool_use.id'],
    ['an empty id', { messages: turn([call('')], result('')) }, 'tool_use.id'],
    ['two calls of one id', { messages: turn([call('a'), call('a')], result('a')) }, 'must be unique'],
    [
      'an id used again in a later turn',
      { messages: [...turn([call('a')], result('a')), ...turn([call('a')], result('a'))] },
      'must be unique',
    ],
    [
      "an id of the provider's tools with a dot",
      { messages: turn([call('srvtoolu_1.2', { type: 'server_tool_use' })], text('y')) },
      'server_tool_use.id',
    ],
    [
      "an id of the provider's tools used again in a later turn",
      {
        messages: [1, 2].flatMap(() =>
          turn([call('srvtoolu_1', { type: 'server_tool_use' }), text('y')], text('z')),
        ),
      },
      'must be unique',
    ],
    [
      'a name of 201 characters',
      { messages: turn([call('a', { name: 'n'.repeat(201) })], result('a')) },
      'name',
    ],
    ['an empty name', { messages: turn([call('a', { name: '' })], result('a')) }, 'tool_use.name'],
    [
      'an input that is no object',
      { messages: turn([call('a', { input: [] })], result('a')) },
      'tool_use.input',
    ],
    [
      'a call without its result',
      { messages: turn([call('a'), call('b')], result('a')) },
      'without `tool_result`',
    ],
    [
      'text before the results',
      { messages: turn([call('a')], text('x'), result('a')) },
      'without `tool_result`',
    ],
    [
      'a result of no call',
      { messages: turn([call('a')], result('a'), result('b')) },
      'unexpected `tool_use_id`',
    ],
    ['two results of one call', { messages: turn([call('a')], result('a'), result('a')) }, 'single result'],
    [
      'an empty result that is an error',
      { messages: turn([call('a')], result('a', { content: '', is_error: true })) },
      'content cannot be empty',
    ],
    [
      'a blank text in a result',
      { messages: turn([call('a')], result('a', { content: [text(' ')] })) },
      'non-whitespace',
    ],
  ])('of calls: %s', async (_name, more, message) => {
    expect(await answerTo(more)).toEqual({ status: 400, message: expect.stringContaining(message) });
  });

  test.each<[string, unknown, string]>([
    ['without a signature', thought('hm', null), 'signature: Field required'],
    ['with an empty signature', thought('hm', ''), 'signature: Field required'],
    ['that was changed', { ...thought('hm'), thinking: 'hm!' }, 'Invalid `signature`'],
    ['of nobody', thought('hm', 'c2lnbmVk'), 'Invalid `signature`'],
  ])('a thought %s', async (_name, block, message) => {
    const messages = turn([block as Fields, call('a')], result('a'));
    expect(await answerTo({ messages })).toEqual({ status: 400, message: expect.stringContaining(message) });
  });

  test('a thought as the last block of an answer', async () => {
    const messages = [user(text('x')), assistant(text('y'), thought('hm')), user(text('z'))];
    expect((await answerTo({ messages })).message).toContain('cannot be `thinking`');
  });

  test.each<[string, Fields, string]>([
    ['a budget below 1,024', { thinking: { type: 'enabled', budget_tokens: 1_023 } }, 'budget_tokens'],
    ['a budget of all tokens', { thinking: { type: 'enabled', budget_tokens: 2_000 } }, 'max_tokens'],
    ['no budget', { thinking: { type: 'enabled' } }, 'budget_tokens: Field required'],
    ['a temperature', { thinking: { type: 'adaptive' }, temperature: 0.5 }, 'temperature'],
    ['an unknown type', { thinking: { type: 'hard' } }, 'thinking'],
    [
      'a budget of another type',
      { thinking: { type: 'adaptive', budget_tokens: 1_024 } },
      'thinking.adaptive.budget_tokens',
    ],
    [
      'an effort',
      { thinking: { type: 'disabled', effort: 'low' } },
      'thinking.disabled.effort: Extra inputs',
    ],
    [
      'a type that the model lost',
      { model: 'claude-opus-4-7', thinking: { type: 'enabled', budget_tokens: 1_024 } },
      '"thinking.type.enabled" is not supported',
    ],
    [
      'no way to turn it off',
      { model: 'claude-opus-5-5', thinking: { type: 'disabled' } },
      '"thinking.type.disabled" is not supported',
    ],
    [
      'a type that came later',
      { model: 'claude-opus-4-5', thinking: { type: 'adaptive' } },
      'adaptive thinking is not supported',
    ],
  ])('thinking with %s', async (_name, more, message) => {
    expect(await answerTo(more)).toEqual({ status: 400, message: expect.stringContaining(message) });
  });

  test.each<[string, unknown, string]>([
    ['no schema', tool(undefined), 'Field required'],
    ['no type', tool({ properties: {} }), 'type: Field required'],
    ['another type', tool({ type: 'array' }), "Input should be 'object'"],
    ['a choice at the root', tool(object({}, { anyOf: [{ required: ['a'] }] })), 'at the top level'],
    ['a name with a dollar', tool(object({ $top: {} })), 'Property keys'],
    ['a long name further down', tool(object({ a: object({ ['k'.repeat(65)]: {} }) })), 'Property keys'],
    ['a list of item schemas', tool(object({ a: { type: 'array', items: [{}] } })), 'draft 2020-12'],
    ['a pattern that is broken', tool(object({ a: { pattern: '(' } })), 'draft 2020-12'],
    ['a limit that is a boolean', tool(object({ a: { exclusiveMinimum: true } })), 'draft 2020-12'],
    ['a type of its own', tool(object({ a: { type: 'decimal' } })), 'draft 2020-12'],
    ['a name of 129 characters', tool(object({}), LONG_NAME), 'custom.name'],
    ['a name with a space', tool(object({}), 'get orders'), 'custom.name'],
  ])('a tool with %s', async (_name, tools, message) => {
    expect(await answerTo({ tools: [tools] })).toEqual({
      status: 400,
      message: expect.stringContaining(message),
    });
  });
});

describe('refuses what no other rule reads', () => {
  test.each<[string, Fields, string]>([
    [
      'a field of a message',
      { messages: [{ ...user(text('x')), id: 'msg_1' }] },
      'messages.0.id: Extra inputs',
    ],
    [
      'a block of an unknown type',
      { messages: [user({ type: 'dream' })] },
      "messages.0.content.0: Input tag 'dream'",
    ],
    [
      'a redacted thought of another model',
      {
        messages: [
          user(text('x')),
          assistant({ type: 'redacted_thinking', data: 'x' }, call('a')),
          user(result('a')),
        ],
      },
      'Invalid `data` in `redacted_thinking` block',
    ],
    [
      'a breakpoint of another type',
      { messages: [user({ ...text('x'), cache_control: { type: 'eternal' } })] },
      "cache_control.type: Input should be 'ephemeral'",
    ],
  ])('%s', async (_name, more, message) => {
    expect(await answerTo(more)).toEqual({ status: 400, message: expect.stringContaining(message) });
  });
});

describe('of the bytes of a body', () => {
  const HEAD = '{"model":"claude-haiku-5-5","max_tokens":200,"messages":[{"role":"user","content":"';

  async function statusOf(bytes: string | Uint8Array<ArrayBuffer>): Promise<number> {
    const response = await fetch(`${simulator.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': 'any', 'anthropic-version': '2023-06-01' },
      body: bytes,
    });
    return response.status;
  }

  test.each([
    ['a high surrogate alone', '\\ud800"}]}'],
    ['a low surrogate alone', '\\uDC00"}]}'],
    ['a pair the wrong way round', '\\ude00\\ud83d"}]}'],
    ['two high surrogates before a low one', '\\ud83d\\ud83d\\ude00"}]}'],
    ['half a pair behind a backslash', '\\\\\\ud800"}]}'],
    ['half a pair in a value that a later field replaces', 'x"}],"system":"\\ud800","system":"x"}'],
  ])('%s as an escape is refused', async (_name, rest) => {
    expect(await statusOf(HEAD + rest)).toBe(400);
  });

  test.each([
    ['a whole pair', '\\ud83d\\ude00"}]}'],
    ['a backslash before the letters of an escape', '\\\\ud800"}]}'],
  ])('%s is taken', async (_name, rest) => {
    expect(await statusOf(HEAD + rest)).toBe(200);
  });

  test('what is no UTF-8 is refused', async () => {
    const half = Uint8Array.of(0xed, 0xa0, 0x80);
    expect(await statusOf(Buffer.concat([Buffer.from(HEAD), half, Buffer.from('"}]}')]))).toBe(400);
  });
});
