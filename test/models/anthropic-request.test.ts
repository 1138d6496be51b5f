// What the adapter sends, and what it leaves out.

import { withAdaptiveThinking } from '../../src/models/adaptive-thinking.ts';
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import { BLANK_USER_TEXT } from '../../src/models/anthropic-request.ts';
import { createCatalogue } from '../../src/models/catalogue.ts';
import type { ModelBlock, ModelRequest } from '../../src/models/port.ts';
import {
  API_KEY,
  closeAll,
  collect,
  failureOf,
  type Handler,
  openStream,
  type RawServer,
  requestOf,
  serve,
  textBlock,
  whole,
} from './support.ts';

afterEach(closeAll);

describe('the request', () => {
  const sent = async (request: ModelRequest, options = {}) => {
    const { server, model } = await serve((response) => void openStream(response).end(whole()), options);
    await collect(model, request);
    return server.requests[0] as RawServer['requests'][number];
  };
  const user = (...content: ModelBlock[]) => ({ role: 'user' as const, content });
  const assistant = (...content: ModelBlock[]) => ({ role: 'assistant' as const, content });
  const mark = { cache_control: { type: 'ephemeral' } };

  test('has only what was set', async () => {
    const { body, headers } = await sent(requestOf('hello'));
    expect(body).toEqual({
      model: 'claude-sonnet-4-6',
      max_tokens: 1024,
      stream: true,
      messages: [user({ type: 'text', text: 'hello', ...mark })],
    });
    expect(headers).toMatchObject({ 'x-api-key': API_KEY, authorization: `Bearer ${API_KEY}` });
    expect(headers['anthropic-version']).toBe('2026-10-21');
  });

  test('goes to the API version that knows temperature when there is one', async () => {
    const { body, headers } = await sent(
      requestOf('hello', { temperature: 0.2, thinking: { type: 'adaptive' } }),
    );
    expect(body).toMatchObject({ temperature: 0.2, thinking: { type: 'adaptive' } });
    expect(headers['anthropic-version']).toBe('2023-06-01');
  });

  test.each([
    ['claude-haiku-5-5', { type: 'adaptive', display: 'omitted' }],
    ['claude-sonnet-4-6', { type: 'enabled', budget_tokens: 2_000, display: 'omitted' }],
  ])('has the type of thinking that Anthropic takes for %s', async (name, expected) => {
    const { server, model } = await serve((response) => void openStream(response).end(whole()));
    const thinking = { type: 'enabled', budget_tokens: 2_000, display: 'omitted' };
    const request = requestOf('hello', { model: name, thinking });
    await collect(withAdaptiveThinking(model, createCatalogue()), request);
    expect(server.requests[0]?.body.thinking).toEqual(expected);
  });

  test.each(['', 'sk-ant-\n', 'sk-\u00fc'])('is never made with the broken key %j', (apiKey) => {
    expect(() => createAnthropicModel({ apiKey, baseUrl: null })).toThrow('model API key');
  });

  test('carries no credential when there is no key', async () => {
    const { headers } = await sent(requestOf('hello'), { apiKey: null });
    expect(headers).not.toHaveProperty('authorization');
    expect(headers).not.toHaveProperty('x-api-key');
  });

  test('marks no thinking block, no blank text and nothing unknown', async () => {
    const { body } = await sent(
      requestOf('', {
        messages: [
          user(
            { type: 'text', text: 'a' },
            { type: 'tool_result', tool_use_id: 'toolu_1', content: 'x' },
            { type: 'dream' },
            { type: 'thinking', thinking: 'x', signature: 'y' },
            { type: 'text', text: ' \n' },
          ),
        ],
      }),
    );
    expect(body.messages).toEqual([
      user(
        { type: 'text', text: 'a' },
        { type: 'tool_result', tool_use_id: 'toolu_1', content: 'x', ...mark },
        { type: 'dream' },
        { type: 'thinking', thinking: 'x', signature: 'y' },
      ),
    ]);
  });

  test('leaves out what the API would refuse: blank texts, empty replies, our own marker', async () => {
    const call = { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: {} };
    const messages = [
      user({ type: 'text', text: ' \ufeff\u0085\u001c\u200b' }),
      assistant(),
      user({ type: 'text', text: 'b' }),
      assistant({ type: 'text', text: '\n\n' }, { ...call, invalid_input_json: '{"a"' }),
      user({ type: 'tool_result', tool_use_id: 'toolu_1', content: 'no', is_error: true }),
    ];
    const { body } = await sent(requestOf('', { messages }));
    expect(body.messages).toEqual([
      user({ type: 'text', text: BLANK_USER_TEXT, ...mark }),
      user({ type: 'text', text: 'b', ...mark }),
      assistant(call),
      user({ type: 'tool_result', tool_use_id: 'toolu_1', content: 'no', is_error: true, ...mark }),
    ]);
    expect(messages[3]?.content[1]).toHaveProperty('invalid_input_json');
  });

  test('has at most four breakpoints, also when the blocks bring their own', async () => {
    const blocks = Array.from({ length: 9 }, (_, index) => ({ type: 'text', text: String(index), ...mark }));
    const { body } = await sent(requestOf('', { messages: [user(...blocks)], system: 's' }));
    expect(JSON.stringify(body).match(/cache_control/g)).toHaveLength(2);
  });
});

describe('thoughts of another conversation', () => {
  const message =
    'messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation.';
  const withThoughts = requestOf('', {
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'a' }] },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'old', signature: 'sig' },
          { type: 'redacted_thinking', data: 'x' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'user', content: [{ type: 'text', text: 'c' }] },
    ],
  });
  const refuseThoughts: Handler = (response, count) => {
    if (count > 1) return void openStream(response).end(whole(textBlock(0, 'fine')));
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message } }));
  };

  test('are left out once the API has refused them', async () => {
    const { server, model } = await serve(refuseThoughts);
    const { pieces } = await collect(model, withThoughts);
    expect(pieces).toEqual(['fine']);
    expect(server.requests).toHaveLength(2);
    expect(JSON.stringify(server.requests[0]?.body)).toContain('thinking');
    expect(JSON.stringify(server.requests[1]?.body)).not.toContain('thinking');
  });

  test('are no excuse for a second call without any', async () => {
    const { server, model } = await serve(refuseThoughts);
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error.code).toBe('model_invalid_request');
    expect(server.requests).toHaveLength(1);
  });
});

test('nothing is written to the console, whatever the model', async () => {
  const spies = (['log', 'info', 'warn', 'error', 'debug'] as const).map((name) =>
    jest.spyOn(console, name).mockImplementation(),
  );
  const { model } = await serve(
    (response, count) => void openStream(response).end(count === 1 ? whole() : 'event: x\ndata: {\n\n'),
  );
  await collect(
    model,
    requestOf('hello', { model: 'claude-sonnet-4-5', thinking: { type: 'enabled', budget_tokens: 1024 } }),
  );
  await failureOf(collect(model, requestOf('hello')));
  for (const spy of spies) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
});
