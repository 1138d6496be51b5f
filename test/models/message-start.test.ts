// Answers whose content or stop reason stands in `message_start`: gateways put a whole message there.
import type { ModelReply } from '../../src/models/port.ts';
import { closeAll, collect, event, messageEnd, openStream, requestOf, serve, textBlock } from './support.ts';

afterEach(closeAll);

const TEXT = { type: 'text', text: 'Hello' };
const CALL = { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: {} };
const CALLED = { ...CALL, input: { a: 1 } };
const STOP = event('message_stop');
const hello = textBlock(0, 'Hel', 'lo');
const json = (partial_json: string) => ({ type: 'input_json_delta', partial_json });
const delta = (index: number, fields: object) => event('content_block_delta', { index, delta: fields });
const early = (message: object) => event('message_start', { message: { model: 'm', ...message } });

const ANSWERS: [string, string, Partial<ModelReply>, string][] = [
  [
    'all content in message_start',
    early({ content: [TEXT, CALLED] }) + messageEnd('tool_use'),
    { blocks: [TEXT, CALLED], stopReason: 'tool_use' },
    'Hello',
  ],
  [
    'content and stop reason in message_start',
    early({ content: [TEXT], stop_reason: 'end_turn' }) + STOP,
    { blocks: [TEXT], stopReason: 'end_turn' },
    'Hello',
  ],
  [
    'the same without message_stop',
    early({ content: 'Hello', stop_reason: 'end_turn' }),
    { blocks: [TEXT], stopReason: 'end_turn' },
    'Hello',
  ],
  [
    'a stop reason only in message_start',
    early({ content: [], stop_reason: 'max_tokens' }) + hello + STOP,
    { blocks: [TEXT], stopReason: 'max_tokens' },
    'Hello',
  ],
  [
    'another stop reason than that of message_start',
    early({ stop_reason: 'end_turn' }) + hello + messageEnd('max_tokens'),
    { blocks: [TEXT], stopReason: 'max_tokens' },
    'Hello',
  ],
  [
    'content of message_start again in blocks',
    early({ content: [TEXT] }) + hello + messageEnd('end_turn'),
    { blocks: [TEXT] },
    'Hello',
  ],
  [
    'a call in message_start and its input in deltas',
    early({ content: [CALL] }) + delta(0, json('{"a":1}')) + messageEnd('tool_use'),
    { blocks: [CALLED] },
    '',
  ],
];

test.each(ANSWERS)('%s', async (_name, wire, reply, ...[words]) => {
  const { model } = await serve((response) => void openStream(response).end(wire));
  const result = await collect(model, requestOf('hello'));
  expect(result.reply).toMatchObject(reply);
  expect(result.pieces.join('')).toBe(words);
});

test('a stream that breaks off is no answer, whatever stop reason its start names', async () => {
  const wire = early({ stop_reason: 'end_turn' }) + hello;
  const { model } = await serve((response) => void openStream(response).end(wire));
  await expect(collect(model, requestOf('hello'))).rejects.toMatchObject({ retryable: true });
});
