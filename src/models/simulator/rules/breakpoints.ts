// Checks where a request marks its prefix for the prompt cache.
import { isRecord } from '../../tool-input.ts';
import { RefusedError } from '../refused.ts';
import type { WireMessage } from '../wire-message.ts';

const BREAKPOINTS_MAX = 4;

/** @throws {RefusedError} */
export function checkBreakpoints(body: Record<string, unknown>, messages: WireMessage[]): void {
  const marked = [...blocksOf(body.tools), ...blocksOf(body.system), ...messages.flatMap(withNested)].filter(
    (block) => (block.cache_control ?? null) !== null,
  );
  if (marked.length > BREAKPOINTS_MAX)
    throw new RefusedError(
      400,
      `A maximum of ${BREAKPOINTS_MAX} blocks with cache_control may be provided. Found ${marked.length}.`,
    );
  if (marked.some(({ type }) => /thinking$/.test(String(type ?? ''))))
    throw new RefusedError(400, 'cache_control: Extra inputs are not permitted on thinking blocks');
  if (marked.some(({ cache_control: mark }) => !isRecord(mark) || mark.type !== 'ephemeral'))
    throw new RefusedError(400, "cache_control.type: Input should be 'ephemeral'");
}

/** A tool result may hold blocks of its own. */
const withNested = ({ content }: WireMessage): Record<string, unknown>[] =>
  content.flatMap((block) => [block, ...blocksOf(block.content)]);

const blocksOf = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter(isRecord) : [];
