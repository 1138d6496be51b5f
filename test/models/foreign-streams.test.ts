// Answers of gateways that bend the protocol in one more way each: they are read, or end in one clear error.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ModelReply } from '../../src/models/port.ts';
import {
  block,
  closeAll,
  collect,
  event,
  type Handler,
  MESSAGE_START,
  messageEnd,
  openStream,
  requestOf,
  serve,
  textBlock,
  whole,
} from './support.ts';

afterEach(closeAll);

const STOP_MS = 1_000;

const json = (partial_json: unknown) => ({ type: 'input_json_delta', partial_json });
const delta = (index: unknown, fields: Record<string, unknown>) =>
  event('content_block_delta', { index, delta: fields });
const start = (index: unknown, content_block: object) =>
  event('content_block_start', { index, content_block });
const CALL = { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: {} };
const CALLED = { ...CALL, input: { a: 1 } };
const call = (index = 1, ...pieces: unknown[]) =>
  block(index, CALL, (pieces.length ? pieces : ['{"a":1}']).map(json));
const hello = textBlock(0, 'Hel', 'lo');
const TEXT = { type: 'text', text: 'Hello' };
const STOP = event('message_stop');
const deltaOf = (fields: Record<string, unknown>) => event('message_delta', fields);
const usage = (fields: object) => deltaOf({ delta: { stop_reason: 'end_turn' }, usage: fields }) + STOP;
const raw = (data: string, name?: string) => `${name ? `event: ${name}\n` : ''}data: ${data}\n\n`;
const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

const answer = async (body: string | Buffer | Handler, headers: Record<string, string> = {}) => {
  const handler: Handler =
    typeof body === 'function'
      ? body
      : (response) =>
          void response.writeHead(200, { 'content-type': 'text/event-stream', ...headers }).end(body);
  const { model } = await serve(handler, { stopMs: STOP_MS });
  return collect(model, requestOf('hello'));
};

type Read = [string, string | Buffer | Handler, Partial<ModelReply>, string?];
const thinking = (fields: object) => ({ type: 'thinking', ...fields });
const THINK = { type: 'thinking', thinking: '', signature: '' };

const hang =
  (wire: string): Handler =>
  (response) =>
    void openStream(response).write(wire);
const cut =
  (wire: string): Handler =>
  (response) =>
    void openStream(response).write(wire, () => response.destroy());

const READ: Read[] = [
  [
    'several message_starts',
    MESSAGE_START + MESSAGE_START + hello + MESSAGE_START + messageEnd(),
    { blocks: [TEXT], model: 'claude-answering' },
  ],
  [
    'message_delta without usage',
    MESSAGE_START + hello + deltaOf({ delta: { stop_reason: 'end_turn' } }) + STOP,
    {
      blocks: [TEXT],
      usage: { inputTokens: 11, outputTokens: 1, cacheCreationInputTokens: 5, cacheReadInputTokens: 7 },
    },
  ],
  [
    'usage of strings, floats, negative counts',
    MESSAGE_START +
      hello +
      usage({
        output_tokens: '42',
        input_tokens: -5,
        cache_read_input_tokens: 7.5,
        cache_creation_input_tokens: [9],
      }),
    {
      blocks: [TEXT],
      usage: { inputTokens: 11, outputTokens: 1, cacheCreationInputTokens: 5, cacheReadInputTokens: 7 },
    },
  ],
  [
    'usage beyond any number',
    MESSAGE_START +
      hello +
      raw(
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1e999,"input_tokens":99999999999999999999}}',
      ) +
      STOP,
    { usage: { inputTokens: 11, outputTokens: 1, cacheCreationInputTokens: 5, cacheReadInputTokens: 7 } },
  ],
  ['usage as a list', MESSAGE_START + hello + usage([1, 2]), { blocks: [TEXT] }],
  [
    'message_delta that is null',
    MESSAGE_START + hello + deltaOf({ delta: null, usage: null }) + messageEnd(),
    { blocks: [TEXT] },
  ],
  [
    'indexes that are text, huge, negative, missing',
    whole(
      start('a', TEXT) +
        start(1e21, TEXT) +
        start(-3, TEXT) +
        event('content_block_start', { content_block: TEXT }),
    ),
    { blocks: [TEXT, TEXT, TEXT, TEXT] },
    'HelloHelloHelloHello',
  ],
  [
    'an index that is an object',
    whole(start({ n: 1 }, TEXT) + delta({ n: 1 }, { type: 'text_delta', text: '!' })),
    {},
    'Hello!',
  ],
  [
    'input before its call starts',
    whole(delta(1, json('{"a":1}')) + block(1, CALL, [])),
    { blocks: [CALLED] },
  ],
  ['input after its call stops', whole(block(1, CALL, []) + delta(1, json('{"a":1}'))), { blocks: [CALLED] }],
  [
    'text after its block stops',
    whole(textBlock(0, 'Hel') + delta(0, { type: 'text_delta', text: 'lo' })),
    {},
    'Hello',
  ],
  [
    'a block with text in its start and in deltas',
    whole(block(0, { type: 'text', text: 'Hel' }, [{ type: 'text_delta', text: 'lo' }])),
    { blocks: [TEXT] },
  ],
  ['input as objects', whole(call(1, { a: 1 })), { blocks: [CALLED] }],
  ['input as an object in two places', whole(block(1, CALLED, [json('{"a":1}')])), { blocks: [CALLED] }],
  [
    'a signature in pieces',
    whole(
      block(0, THINK, [
        { type: 'thinking_delta', thinking: 'hm' },
        { type: 'signature_delta', signature: 'ab' },
        { type: 'signature_delta', signature: 'cd' },
      ]),
    ),
    { blocks: [thinking({ thinking: 'hm', signature: 'abcd' })] },
  ],
  [
    'a signature in its start and again in deltas',
    whole(
      block(0, { ...THINK, signature: 'abcd' }, [
        { type: 'thinking_delta', thinking: 'hm' },
        { type: 'signature_delta', signature: 'ab' },
        { type: 'signature_delta', signature: 'cd' },
      ]),
    ),
    { blocks: [thinking({ thinking: 'hm', signature: 'abcd' })] },
  ],
  [
    'redacted_thinking without data',
    whole(block(0, { type: 'redacted_thinking' }, []) + textBlock(1, 'Hello')),
    { blocks: [TEXT] },
  ],
  [
    'redacted_thinking with an object',
    whole(block(0, { type: 'redacted_thinking', data: { a: 1 } }, []) + textBlock(1, 'Hello')),
    { blocks: [TEXT] },
  ],
  [
    'a search with its results',
    whole(
      block(0, { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }, [
        json('{"query":"x"}'),
      ]) +
        block(
          1,
          {
            type: 'web_search_tool_result',
            tool_use_id: 'srvtoolu_1',
            content: [{ type: 'web_search_result', encrypted_content: 'x'.repeat(1_000_000) }],
          },
          [],
        ) +
        textBlock(2, 'Hello'),
    ),
    {
      blocks: [
        { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'x' } },
        expect.objectContaining({ type: 'web_search_tool_result' }),
        TEXT,
      ],
    },
  ],
  [
    'a call written as XML in text',
    whole(textBlock(0, '<function_calls><invoke name="x"></invoke></function_calls>')),
    { stopReason: 'end_turn' },
    '<function_calls><invoke name="x"></invoke></function_calls>',
  ],
  [
    'a stop reason of null at the end, then message_stop',
    MESSAGE_START + hello + deltaOf({ delta: { stop_reason: null } }) + STOP,
    { blocks: [TEXT], stopReason: null },
  ],
  [
    'a stop reason that is a number',
    MESSAGE_START + hello + deltaOf({ delta: { stop_reason: 7 } }) + STOP,
    { blocks: [TEXT], stopReason: null },
  ],
  [
    'a stop reason told twice',
    MESSAGE_START + hello + deltaOf({ delta: { stop_reason: 'tool_use' } }) + messageEnd('end_turn'),
    { stopReason: 'end_turn' },
  ],
  [
    'a stop reason beside the delta',
    MESSAGE_START + hello + deltaOf({ stop_reason: 'end_turn' }) + STOP,
    { blocks: [TEXT] },
  ],
  [
    'stop_sequence',
    MESSAGE_START + hello + deltaOf({ delta: { stop_reason: 'stop_sequence', stop_sequence: 'x' } }) + STOP,
    { stopReason: 'stop_sequence' },
  ],
  [
    'an error behind message_stop',
    whole(hello) + event('error', { error: { type: 'overloaded_error', message: 'x' } }),
    { blocks: [TEXT] },
  ],
  [
    'an error behind the stop reason',
    MESSAGE_START +
      hello +
      deltaOf({ delta: { stop_reason: 'end_turn' } }) +
      event('error', { error: { type: 'api_error', message: 'x' } }),
    { blocks: [TEXT], stopReason: 'end_turn' },
  ],
  [
    'torn JSON behind the stop reason',
    MESSAGE_START +
      hello +
      deltaOf({ delta: { stop_reason: 'end_turn' } }) +
      raw('{"type":"message_st', 'message_stop'),
    { blocks: [TEXT] },
  ],
  ['rubbish behind message_stop', `${whole(hello)}<html>{{{\n\ndata: {\n\n`, { blocks: [TEXT] }],
  ['a connection that hangs behind message_stop', hang(whole(hello)), { blocks: [TEXT] }],
  [
    'a connection that hangs behind the stop reason',
    hang(MESSAGE_START + hello + deltaOf({ delta: { stop_reason: 'end_turn' } })),
    { blocks: [TEXT], stopReason: 'end_turn' },
  ],
  [
    'a connection that breaks behind the stop reason',
    cut(MESSAGE_START + hello + call() + deltaOf({ delta: { stop_reason: 'tool_use' } })),
    { blocks: [TEXT, CALLED], stopReason: 'tool_use' },
  ],
  [
    'pings for ever behind the stop reason',
    (response) => {
      openStream(response).write(MESSAGE_START + hello + deltaOf({ delta: { stop_reason: 'end_turn' } }));
      const timer = setInterval(() => response.write(event('ping')), 20);
      response.once('close', () => clearInterval(timer));
    },
    { blocks: [TEXT] },
  ],
  [
    'a stop reason before content that takes longer than the wait for message_stop',
    async (response) => {
      openStream(response).write(MESSAGE_START + deltaOf({ delta: { stop_reason: 'end_turn' } }));
      for (let index = 0; index < 5; index += 1) {
        response.write(textBlock(index, `${index} `));
        await sleep(0.3 * STOP_MS);
      }
      response.end();
    },
    {},
    Array.from({ length: 5 }, (_, index) => `${index} `).join(''),
  ],
  [
    'a whole message whose connection hangs',
    (response) =>
      void response
        .writeHead(200, { 'content-type': 'application/json' })
        .write(JSON.stringify({ type: 'message', content: [TEXT], stop_reason: 'end_turn' })),
    { blocks: [TEXT] },
  ],
  [
    'a byte order mark and ends of lines that are CR',
    `\ufeff${whole(hello).replaceAll('\n', '\r')}`,
    { blocks: [TEXT] },
  ],
  [
    'chunks that end within a character',
    async (response) => {
      openStream(response);
      for (const byte of Buffer.from(whole(textBlock(0, 'Grüße 😀日本'))))
        response.write(Buffer.from([byte]));
      response.end();
    },
    {},
    'Grüße 😀日本',
  ],
  [
    'bytes that are no UTF-8',
    Buffer.concat([
      Buffer.from(MESSAGE_START),
      Buffer.from('data: {"type":"content_block_delta","index":0,"delta":{"text":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}}\n\n'),
      Buffer.from(messageEnd()),
    ]),
    {},
    '\ufffd\ufffd',
  ],
  [
    'comments, retry and ids between',
    whole(hello).replaceAll('event: ', ': x\nretry: 1e9\nid: \0\nevent: '),
    { blocks: [TEXT] },
  ],
  ['quoted [DONE]', whole(hello).replace(STOP, raw('"[DONE]"')), { blocks: [TEXT] }],
  ...[
    '1',
    'null',
    '"text"',
    '[]',
    'true',
    '"[DONE]"',
    '{}',
    '{"type":null}',
    '{"type":7}',
    `{"type":"x","a":${deep(50_000)}}`,
  ].map(
    (data): Read => [
      `data ${data.slice(0, 30)} in the middle`,
      MESSAGE_START + raw(data) + hello + raw(data, 'message') + raw(data, 'strange') + messageEnd(),
      { blocks: [TEXT] },
    ],
  ),
  [
    'a content of null, then blocks',
    MESSAGE_START.replace('"content":[]', '"content":null') + hello + messageEnd(),
    { blocks: [TEXT] },
  ],
  [
    'names in events that differ from the type',
    whole(hello).replaceAll('event: content_block_delta', 'event: content_block_start'),
    { blocks: [TEXT] },
  ],
  [
    'a nameless call',
    whole(block(0, { type: 'tool_use', id: 't' }, [])),
    { blocks: [{ type: 'tool_use', id: 't', name: '(unnamed)', input: {} }] },
  ],
  ['a gzip header that says identity', whole(hello), { blocks: [TEXT] }],
];

test.each(READ)('%s', async (_name, body, expected, ...[words]) => {
  const { reply, pieces } = await answer(body);
  expect(reply).toMatchObject(expected);
  const said = reply.blocks.map(({ type, text }) => (type === 'text' ? text : '')).join('');
  expect(pieces.join('')).toBe(words ?? said);
  expect(said).toBe(pieces.join(''));
});
