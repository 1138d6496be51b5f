// Ends a turn whose model only makes calls that can't run. Each such step costs money, and a model that ignored several
// refusals will ignore the next.
import { type ErrorDetail, messageError } from '../contracts/errors.ts';
import { parseJson } from '../contracts/json.ts';
import type { ModelBlock } from '../models/port.ts';
import type { SessionTransaction } from '../stores/log.ts';
import type { MessageRow } from '../stores/schema.ts';
import { type PreparedCall, wasRefused } from './tool-calls.ts';

/** Steps of a turn with unreadable tool input that only return an error result. */
const UNREADABLE_STEPS_MAX = 3;

const TOO_OFTEN_UNREADABLE = messageError(
  'tool_limit',
  `The model sent unreadable input to tools more than ${UNREADABLE_STEPS_MAX} times in this turn`,
);

/** Consecutive steps in which every call was refused: its tool is unknown, or its input does not fit. */
const REFUSED_STEPS_MAX = 5;

const TOO_OFTEN_REFUSED = messageError(
  'tool_limit',
  `The model called only unknown tools, or tools with unfit input, in ${REFUSED_STEPS_MAX} steps in a row`,
);

const hasUnreadableCall = (blocks: ModelBlock[]): boolean =>
  blocks.some(({ type, invalid_input_json }) => type === 'tool_use' && invalid_input_json !== undefined);

async function isTooOftenUnreadable(
  tx: SessionTransaction,
  reply: MessageRow,
  blocks: ModelBlock[],
): Promise<boolean> {
  if (!hasUnreadableCall(blocks)) return false;
  const steps = await tx.messages.steps([reply.id]);
  const before = steps.filter((step) => hasUnreadableCall(parseJson<ModelBlock[]>(step.blocks)));
  return before.length >= UNREADABLE_STEPS_MAX;
}

/** Reads the rows of earlier calls, so the count survives a restart. */
async function isTooOftenRefused(
  tx: SessionTransaction,
  reply: MessageRow,
  prepared: PreparedCall[],
): Promise<boolean> {
  if (prepared.length === 0 || prepared.some(({ refusal }) => refusal === null)) return false;
  const calls = await tx.messages.toolCallsWithoutResults(reply.id);
  const last = calls.at(-1)?.step ?? 0;
  const ran = calls.findLast((call) => !wasRefused(call))?.step ?? 0;
  return 1 + last - ran >= REFUSED_STEPS_MAX;
}

/** @returns the error that ends the reply in place of the current step. Undefined if the turn may continue. */
export async function uselessCalls(
  tx: SessionTransaction,
  reply: MessageRow,
  blocks: ModelBlock[],
  prepared: PreparedCall[],
): Promise<ErrorDetail | undefined> {
  if (await isTooOftenUnreadable(tx, reply, blocks)) return TOO_OFTEN_UNREADABLE;
  if (await isTooOftenRefused(tx, reply, prepared)) return TOO_OFTEN_REFUSED;
  return undefined;
}
