// Events of a stream for tests of the accumulator, and the reply that comes of them.
import type { ModelBlock, ModelReply } from '../../src/models/port.ts';
import { createReplyAccumulator } from '../../src/models/reply-accumulator.ts';

export interface Read {
  reply: ModelReply;
  /** All text that readers are sent. */
  streamed: string;
}

export function read(events: unknown[]): Read {
  const accumulator = createReplyAccumulator();
  let streamed = '';
  for (const event of [...events, { type: 'message_stop' }]) streamed += accumulator.add(event);
  return { reply: accumulator.reply(), streamed };
}

export const start = (index: unknown, content_block: object) => ({
  type: 'content_block_start',
  index,
  content_block,
});
export const stop = (index: unknown) => ({ type: 'content_block_stop', index });
export const delta = (index: unknown, fields: object) => ({
  type: 'content_block_delta',
  index,
  delta: fields,
});
export const text = (index: unknown, words: unknown) => delta(index, { type: 'text_delta', text: words });
export const thinking = (index: unknown, words: unknown) =>
  delta(index, { type: 'thinking_delta', thinking: words });
export const json = (index: unknown, partial_json: unknown) =>
  delta(index, { type: 'input_json_delta', partial_json });

export const TEXT = { type: 'text', text: '' };
export const THINKING = { type: 'thinking', thinking: '', signature: '' };
export const CALL = { type: 'tool_use', id: 'toolu_1', name: 'look_up', input: {} };

export const textOf = (blocks: ModelBlock[]): string =>
  blocks.map((block) => (block.type === 'text' ? block.text : '')).join('');

/** Types and main contents of the blocks, in their order. */
export const shape = ({ reply }: Read) =>
  reply.blocks.map(({ type, ...block }) => [type, block.text ?? block.thinking ?? block.input]);

export const nested = (depth: number): object => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);
