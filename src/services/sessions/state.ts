// "Why has my agent not answered?": the workflow's own answer, or what the rows say when no workflow answers.
import { toTimestamp, toTimestampOrNull } from '../../contracts/common.ts';
import type { SessionState } from '../../contracts/sessions.ts';
import type { SessionRow } from '../../stores/schema.ts';
import type { Engine, EngineState } from '../engine.ts';
import type { MessageReader } from '../messages/reader.ts';

type StateFacts = Omit<SessionState, 'temporal_url'>;

function phaseOf(session: SessionRow): 'ended' | 'running' | 'idle' {
  if (session.status !== 'active') return 'ended';
  return session.open_reply_id === null ? 'idle' : 'running';
}

const fromWorkflow = ({ answer, activity }: EngineState): StateFacts => ({
  engine: 'available',
  phase: answer.phase,
  reason: answer.reason,
  since: toTimestamp(answer.sinceMs),
  queue: answer.state.queue.map((message) => message.messageId),
  waiting_for: [],
  wakes_at: answer.phase === 'idle' ? toTimestampOrNull(answer.state.expiresAtMs) : null,
  activity,
});

const fromRows = (session: SessionRow, queued: { id: string }[]): StateFacts => ({
  // An ended session has no workflow any more; that is how it should be, not a fault of the engine.
  engine: session.status === 'active' ? 'unavailable' : 'available',
  phase: phaseOf(session),
  reason: session.ended_reason,
  since: toTimestamp(session.updated_at),
  queue: queued.map((message) => message.id),
  waiting_for: [],
  wakes_at: toTimestampOrNull(session.expires_at),
  activity: null,
});

export const createStateReader = ({ engine, reader }: { engine: Engine; reader: MessageReader }) =>
  async function readState(session: SessionRow): Promise<SessionState> {
    const found = await engine.state(session.id);
    const facts = found ? fromWorkflow(found) : fromRows(session, await reader.queued(session.id));
    return { ...facts, temporal_url: engine.urlOf(session.id) };
  };
