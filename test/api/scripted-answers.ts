// Wires and blocks for a provider whose answers a test writes.
import { block, event, MESSAGE_START, messageEnd } from '../models/support.ts';
import type { Block, Message } from '../support/messages-rules.ts';

export const calls = (...blocks: Block[]) =>
  MESSAGE_START + blocks.map((each, index) => block(index, each, [])).join('') + messageEnd('tool_use');
export const use = (id: unknown, name: unknown = 'look_up', input: unknown = { key: 'a' }): Block => ({
  ...{ type: 'tool_use', name, input },
  ...(id === undefined ? {} : { id }),
});

export const usesOf = (messages: Message[]) =>
  messages.flatMap(({ content }) => content.filter(({ type }) => type === 'tool_use'));
export const resultsOf = (messages: Message[]) =>
  messages.flatMap(({ content }) => content.filter(({ type }) => type === 'tool_result'));

const think = (index: number, signature: string | null): string =>
  event('content_block_start', { index, content_block: { type: 'thinking', thinking: '' } }) +
  event('content_block_delta', { index, delta: { type: 'thinking_delta', thinking: 'Hm.' } }) +
  (signature === null
    ? ''
    : event('content_block_delta', { index, delta: { type: 'signature_delta', signature } })) +
  event('content_block_stop', { index });

let signatures = 0;
export function thinkingCall(signature?: string | null): string {
  signatures += 1;
  const own = signature === undefined ? `sig-${signatures}` : signature;
  return MESSAGE_START + think(0, own) + block(1, use('toolu_1'), []) + messageEnd('tool_use');
}
export const thoughtsOf = (messages: Message[]) =>
  messages.flatMap(({ content }) => content.filter(({ type }) => /thinking/.test(type)));
