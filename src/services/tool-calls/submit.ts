// Accepts the results of a client's own tools. Each call has one result, however often it is submitted.
import { canonicalJson } from '../../contracts/canonical-json.ts';
import { ApiError, notFound } from '../../contracts/errors.ts';
import { parseJson } from '../../contracts/json.ts';
import type { SubmitToolResults, ToolResult } from '../../contracts/tools.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import type { MessageRow, ToolCallRow } from '../../stores/schema.ts';
import { announceCalls, settleCall } from '../../turns/tool-calls.ts';
import { resultsView } from '../../views/submitted-results.ts';
import type { Keep, Once } from '../idempotency.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { Caller, Idempotency, SubmittedResults, Written } from '../ports.ts';
import { type ChangeDeps, changeSession } from '../session-access.ts';

export interface SubmitDeps extends ChangeDeps {
  reader: MessageReader;
  once: Once;
}

const resultsOf = (body: SubmitToolResults): ToolResult[] => ('results' in body ? body.results : [body]);
const pathOf = (body: SubmitToolResults, index: number): string =>
  'results' in body ? `results[${index}].tool_call_id` : 'tool_call_id';

const closed = (call: ToolCallRow, why: string): ApiError =>
  new ApiError('tool_call_closed', `The call ${call.id} ${why}; its result can't change`);

/** Compares canonical JSON, so that equal numbers in different notations are equal. */
const isSame = (call: ToolCallRow, { result, is_error = false }: ToolResult): boolean =>
  call.status === 'completed' &&
  (call.is_error === 1) === is_error &&
  canonicalJson(call.result === null ? null : parseJson(call.result)) === canonicalJson(result);

/** Accepts a repetition of the stored result. Any other late result is refused. */
function refuseClosed(call: ToolCallRow, result: ToolResult): void {
  if (call.type !== 'custom') throw closed(call, 'is run by the server');
  if (call.status === 'awaiting_result' || isSame(call, result)) return;
  throw closed(call, call.status === 'completed' ? 'has another result already' : `is ${call.status}`);
}

async function find(tx: SessionTransaction, id: string, path: string): Promise<ToolCallRow> {
  const call = await tx.messages.toolCall(id);
  if (call?.session_id === tx.session.id) return call;
  throw new ApiError('not_found', `No such tool call: '${id}'`, { param: path });
}

/** The calls of a request's results, in its order. */
interface Kept {
  ids: string[];
}

interface Submitted {
  calls: ToolCallRow[];
  /** The calls that got their result from this request. */
  settled: ToolCallRow[];
  seq: number;
}

async function settleAll(tx: SessionTransaction, body: SubmitToolResults): Promise<Submitted> {
  const calls: ToolCallRow[] = [];
  const settled: ToolCallRow[] = [];
  for (const [index, result] of resultsOf(body).entries()) {
    const call = await find(tx, result.tool_call_id, pathOf(body, index));
    refuseClosed(call, result);
    if (call.status !== 'awaiting_result') {
      calls.push(call);
      continue;
    }
    const outcome = {
      status: 'completed',
      result: result.result,
      isError: result.is_error ?? false,
    } as const;
    const done = await settleCall(tx, call, outcome);
    tx.tell('toolResult', { callId: done.id });
    calls.push(done);
    settled.push(done);
  }
  return { calls, settled, seq: tx.seq };
}

async function announce(tx: SessionTransaction, settled: ToolCallRow[]): Promise<void> {
  for (const id of new Set(settled.map(({ message_id }) => message_id))) {
    const reply = await tx.messages.get(id);
    if (reply) await announceCalls(tx, reply);
  }
}

export function createSubmit(deps: SubmitDeps) {
  const { reader, once } = deps;

  /**
   * @param submittedSeq The seq of the request that submitted the results. Read from the log when another request
   * submitted them.
   */
  async function show(calls: ToolCallRow[], submittedSeq?: number): Promise<SubmittedResults> {
    const [first] = calls;
    const reply: MessageRow | undefined = first && (await reader.get(first.message_id));
    if (!first || !reply) throw notFound('tool call');
    const message = await reader.view(reply);
    return {
      ...resultsView(first, calls, message),
      pending: message.waiting_for,
      reply: {
        sessionId: reply.session_id,
        userMessageId: reply.parent_id ?? '',
        replyId: reply.id,
        // A repeated request reads the same rest of the turn as the first.
        afterSeq: submittedSeq ?? (await reader.settledSeq(reply.id, calls)),
      },
    };
  }

  async function submit(caller: Caller, sessionId: string, body: SubmitToolResults, keep: Keep<Kept>) {
    const done = await changeSession(deps, caller, sessionId, async (tx) => {
      if (tx.session.status !== 'active')
        throw new ApiError('session_ended', 'The session has ended; its calls want no results any more');
      await keep(tx.rows, { ids: resultsOf(body).map((each) => each.tool_call_id) });
      const submitted = await settleAll(tx, body);
      await announce(tx, submitted.settled);
      return submitted;
    });
    return show(done.calls, done.settled.length > 0 ? done.seq : undefined);
  }

  return (
    caller: Caller,
    sessionId: string,
    body: SubmitToolResults,
    key: Idempotency | null,
  ): Promise<Written<SubmittedResults>> =>
    once(
      caller,
      key,
      (keep: Keep<Kept>) => submit(caller, sessionId, body, keep),
      async ({ ids }) => {
        const calls = await Promise.all(ids.map((id) => reader.toolCall(id)));
        return show(calls.filter((call) => call !== undefined));
      },
    );
}
