// Streams whose events have any index and come in any order.
import fc from 'fast-check';
import { event, MESSAGE_START, messageEnd } from '../models/support.ts';

const CALL = { type: 'tool_use', id: 'toolu_1', name: 'look_up', input: { key: 'a' } };

const index = fc.constantFrom<unknown>(0, 1, 2, -1, '0', null);
const words = fc.constantFrom('a', '\ud83d', '\ude00', '\0', '', null, ' ', 'word ');
const delta = fc.oneof(
  ...[fc.record({ type: fc.constant('text_delta'), text: words })],
  ...[fc.record({ type: fc.constant('thinking_delta'), thinking: words })],
  ...[
    fc.record({
      type: fc.constant('input_json_delta'),
      partial_json: fc.constantFrom('{', '}', '', '['),
    }),
  ],
  ...[fc.constant({ type: 'citations_delta', citation: { cited_text: '\0\ud800' } })],
);
const started = fc.constantFrom<Record<string, unknown>>(
  ...[{ type: 'text', text: '\ud83d' }, { type: 'text' }, { type: 'thinking', thinking: '\0' }],
  ...[CALL, { ...CALL, id: '', name: '' }, { type: 'dream', '\0': '\ud800' }, { type: 'server_tool_use' }],
);
const anyEvent = fc.oneof(
  {
    arbitrary: fc
      .tuple(index, delta)
      .map(([at, each]) => event('content_block_delta', { index: at, delta: each })),
    weight: 4,
  },
  fc
    .tuple(index, started)
    .map(([at, each]) => event('content_block_start', { index: at, content_block: each })),
  index.map((at) => event('content_block_stop', { index: at })),
);
const reason = fc.constantFrom('end_turn', 'tool_use', 'max_tokens', 'refusal', 'went_home');

const anyStream = fc
  .tuple(fc.array(anyEvent, { maxLength: 30 }), reason)
  .map(([events, stopReason]) => MESSAGE_START + events.join('') + messageEnd(stopReason));

/** The same ones each time. */
export const oddStreams = (count: number): string[] => fc.sample(anyStream, { numRuns: count, seed: 13 });
