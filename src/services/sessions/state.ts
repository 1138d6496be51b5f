// "Why has my agent not answered?": the workflow's own answer, or what the rows say when no workflow answers.
import { toTimestamp, toTimestampOrNull } from '../../contracts/common.ts';
import type { SessionState } from '../../contracts/sessions.ts';
import type { ToolCall } from '../../contracts/tools.ts';
import type { SessionRow } from '../../stores/schema.ts';
import { isOpen } from '../../turns/tool-calls.ts';
import { toolCallView } from '../../views/tool-calls.ts';
import type { Engine, EngineState } from '../engine.ts';
import type { MessageReader } from '../messages/reader.ts';

type StateFacts = Omit<SessionState, 'temporal_url'>;

function phaseOf(session: SessionRow, waiting: ToolCall[]): SessionState['phase'] {
  if (session.status !== 'active') return 'ended';
  if (waiting.length > 0) return 'waiting_tool';
  return session.open_reply_id === null ? 'idle' : 'running';
}

const fromWorkflow = ({ answer, activity }: EngineState, waiting: ToolCall[]): StateFacts => ({
  engine: 'available',
  phase: answer.phase,
  reason: answer.reason,
  since: toTimestamp(answer.sinceMs),
  queue: answer.state.queue.map((message) => message.messageId),
  waiting_for: waiting,
  wakes_at: nextExpiry(waiting) ?? wakesAt(answer),
  activity,
});

const fromRows = (session: SessionRow, queued: { id: string }[], waiting: ToolCall[]): StateFacts => ({
  // An ended session has no workflow any more; that is how it should be, not a fault of the engine.
  engine: session.status === 'active' ? 'unavailable' : 'available',
  phase: phaseOf(session, waiting),
  reason: session.ended_reason,
  since: toTimestamp(session.updated_at),
  queue: queued.map((message) => message.id),
  waiting_for: waiting,
  wakes_at: nextExpiry(waiting) ?? toTimestampOrNull(session.expires_at),
  activity: null,
});

/** When the first of the calls runs out of time. */
const nextExpiry = (waiting: ToolCall[]): string | null =>
  waiting.flatMap(({ expires_at }) => expires_at ?? []).sort()[0] ?? null;

const wakesAt = ({ phase, state }: EngineState['answer']): string | null =>
  phase === 'idle' ? toTimestampOrNull(state.expiresAtMs) : null;

export function createStateReader({ engine, reader }: { engine: Engine; reader: MessageReader }) {
  async function waitingCalls({ open_reply_id }: SessionRow): Promise<ToolCall[]> {
    const calls = open_reply_id === null ? [] : await reader.toolCalls([open_reply_id]);
    return calls.filter(isOpen).map(toolCallView);
  }

  return async function readState(session: SessionRow): Promise<SessionState> {
    const found = await engine.state(session.id);
    const waiting = await waitingCalls(session);
    const facts = found
      ? fromWorkflow(found, waiting)
      : fromRows(session, await reader.queued(session.id), waiting);
    return { ...facts, temporal_url: engine.urlOf(session.id) };
  };
}
