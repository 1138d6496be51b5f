// Checks that calls and results match: each call has a unique id, and its result opens the next message.

import { refuse } from '../refused.ts';
import type { WireMessage } from '../wire-message.ts';

/** Calls of the client's tools, and calls of tools that the provider runs. */
const CALL_TYPES = ['tool_use', 'server_tool_use', 'mcp_tool_use'];

/** @throws {RefusedError} */
export function checkToolCalls(messages: WireMessage[]): void {
  const ids = messages.flatMap((message) => CALL_TYPES.flatMap((type) => idsOf(message, type, 'id')));
  const twice = repeated(ids);
  if (twice !== undefined) refuse('messages', `\`tool_use\` ids must be unique: ${twice}`);
  for (const [index, message] of messages.entries()) {
    checkAnswered(message, messages[index + 1], index);
    checkAsked(message, messages[index - 1], index);
  }
}

function repeated(ids: string[]): string | undefined {
  const seen = new Set<string>();
  return ids.find((id) => seen.size === seen.add(id).size);
}

function checkAnswered(message: WireMessage, next: WireMessage | undefined, index: number): void {
  const answered = new Set(leadingResults(next));
  const open = idsOf(message, 'tool_use', 'id').filter((id) => !answered.has(id));
  if (open.length > 0)
    refuse(
      `messages.${index}`,
      `\`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join(', ')}. ` +
        'Each `tool_use` block must have a corresponding `tool_result` block in the next message.',
    );
}

function checkAsked(message: WireMessage, previous: WireMessage | undefined, index: number): void {
  const results = idsOf(message, 'tool_result', 'tool_use_id');
  const asked = new Set(idsOf(previous, 'tool_use', 'id'));
  const stray = results.find((id) => !asked.has(id));
  if (stray !== undefined)
    refuse(`messages.${index}`, `unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${stray}`);
  const twice = repeated(results);
  if (twice !== undefined)
    refuse(`messages.${index}`, `each \`tool_use\` must have a single result. Found multiple for ${twice}`);
}

/** The first block of another type ends the results. */
function leadingResults(message: WireMessage | undefined): string[] {
  const content = message?.content ?? [];
  const end = content.findIndex(({ type }) => type !== 'tool_result');
  return content.slice(0, end < 0 ? content.length : end).map((block) => String(block.tool_use_id));
}

const idsOf = (message: WireMessage | undefined, type: string, key: string): string[] =>
  (message?.content ?? []).filter((block) => block.type === type).map((block) => String(block[key]));
