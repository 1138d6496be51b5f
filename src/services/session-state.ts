// "Why has my agent not answered?": the workflow's own answer, or what the rows say when no workflow answers.
import { toTimestamp, toTimestampOrNull } from '../contracts/common.ts';
import type { SessionState } from '../contracts/sessions.ts';
import type { SessionRow } from '../stores/schema.ts';
import type { Engine } from './engine.ts';
import type { MessageReader } from './messages.ts';

export function createStateReader({ engine, reader }: { engine: Engine; reader: MessageReader }) {
  async function fromRows(session: SessionRow): Promise<SessionState> {
    const queue = (await reader.queued(session.id)).map((row) => row.id);
    const phase = session.status !== 'active' ? 'ended' : session.open_reply_id !== null ? 'running' : 'idle';
    return {
      engine: 'unavailable',
      phase,
      reason: session.ended_reason,
      since: toTimestamp(session.updated_at),
      queue,
      waiting_for: [],
      wakes_at: toTimestampOrNull(session.expires_at),
      activity: null,
      temporal_url: engine.urlOf(session.id),
    };
  }

  return async function readState(session: SessionRow): Promise<SessionState> {
    const found = await engine.state(session.id);
    if (!found) {
      const rows = await fromRows(session);
      // An ended session has no workflow any more; that is how it should be, not a fault of the engine.
      return session.status === 'active' ? rows : { ...rows, engine: 'available' };
    }
    const { phase, reason, sinceMs, state } = found.answer;
    return {
      engine: 'available',
      phase,
      reason,
      since: toTimestamp(sinceMs),
      queue: state.queue.map((message) => message.messageId),
      waiting_for: [],
      wakes_at: phase === 'idle' ? toTimestampOrNull(state.expiresAtMs) : null,
      activity: found.activity,
      temporal_url: engine.urlOf(session.id),
    };
  };
}
