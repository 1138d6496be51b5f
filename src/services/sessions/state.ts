// "Why has my agent not answered?": the workflow's own answer, or what the rows say when no workflow answers.
import { toTimestamp, toTimestampOrNull } from '../../contracts/common.ts';
import type { SessionState } from '../../contracts/sessions.ts';
import { toolCallsUrl } from '../../contracts/tools.ts';
import { PAGE_BYTES_MAX } from '../../stores/page-bytes.ts';
import type { MessageRow, SessionRow, ToolCallRow } from '../../stores/schema.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import { fittingCalls, toolCallView } from '../../views/tool-calls.ts';
import { type Engine, type EngineState, engineSession } from '../engine.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { Caller } from '../ports.ts';
import { visibleSession } from '../session-access.ts';

/** A session shows its state beside its messages. */
const WAITING_BYTES_MAX = PAGE_BYTES_MAX / 2;

type StateFacts = Omit<SessionState, 'temporal_url'>;

/** What the store says. */
interface Rows {
  session: SessionRow;
  queued: Pick<MessageRow, 'id' | 'created_at'>[];
  waiting: ToolCallRow[];
  /** When the turn that the session is at began; without one, when the last one ended, or the session itself began. */
  turnAt: number;
}

function phaseOf({ session, queued, waiting }: Rows): SessionState['phase'] {
  if (session.status !== 'active') return 'ended';
  if (waiting.length > 0) return 'waiting_tool';
  return session.open_reply_id === null && queued.length === 0 ? 'idle' : 'running';
}

function waitingView({ session, waiting }: Rows): Pick<SessionState, 'waiting_for' | 'truncated' | 'url'> {
  const shown = fittingCalls(waiting, WAITING_BYTES_MAX);
  return {
    waiting_for: shown.map(toolCallView),
    ...(shown !== waiting && { truncated: true, url: toolCallsUrl(session.id) }),
  };
}

/** When the session came into its phase. */
function sinceOf({ session, queued, waiting, turnAt }: Rows): string {
  if (waiting.length > 0) return toTimestamp(Math.min(...waiting.map((call) => call.created_at)));
  // What was accepted while no turn ran waits since then for its own.
  const acceptedAt = session.open_reply_id === null ? (queued[0]?.created_at ?? 0) : 0;
  return toTimestamp(session.ended_at ?? Math.max(turnAt, acceptedAt));
}

/** The workflow's own words, unless it has not heard yet of what the store has accepted: that is seen at once. */
function fromWorkflow({ answer, activity }: EngineState, rows: Rows): StateFacts {
  const { queued } = rows;
  const phase = phaseOf(rows);
  const hasHeard = phase === answer.phase;
  const { running } = answer.state;
  return {
    engine: 'available',
    phase,
    reason: hasHeard ? answer.reason : `the session's workflow is still ${PHASE_WORDS[answer.phase]}`,
    since: hasHeard ? toTimestamp(answer.sinceMs) : sinceOf(rows),
    queue: queued.map(({ id }) => id).filter((id) => id !== running?.messageId),
    ...waitingView(rows),
    wakes_at: wakesAt(rows),
    activity,
  };
}

const PHASE_WORDS: Record<EngineState['answer']['phase'], string> = {
  idle: 'idle',
  running: 'running',
  waiting_tool: 'waiting for a tool',
  ended: 'ending',
};

const fromRows = (rows: Rows): StateFacts => ({
  // An ended session has no workflow any more; that is how it should be, not a fault of the engine.
  engine: rows.session.status === 'active' ? 'unavailable' : 'available',
  phase: phaseOf(rows),
  reason: rows.session.ended_reason,
  since: sinceOf(rows),
  queue: rows.queued.map((message) => message.id),
  ...waitingView(rows),
  wakes_at: wakesAt(rows),
  activity: null,
});

/** When the first of the calls runs out of time, or the session of its idleness. */
function wakesAt(rows: Rows): string | null {
  const expiries = rows.waiting.flatMap(({ expires_at }) => expires_at ?? []);
  if (expiries.length > 0) return toTimestamp(Math.min(...expiries));
  return phaseOf(rows) === 'idle' ? toTimestampOrNull(rows.session.expires_at) : null;
}

interface StateDeps {
  engine: Pick<Engine, 'state' | 'urlOf'>;
  reader: MessageReader;
  sessions: SessionsStore;
}

export function createStateReader({ engine, reader, sessions }: StateDeps) {
  const waitingCalls = async ({ open_reply_id }: SessionRow): Promise<ToolCallRow[]> =>
    open_reply_id === null ? [] : reader.openToolCalls(open_reply_id);

  const rowOf = async (id: string | null | undefined) => (id ? await reader.get(id) : undefined);

  async function turnTime({ head, open_reply_id, created_at }: SessionRow): Promise<number> {
    const reply = await rowOf(head);
    // A user message is completed by the beginning of its turn.
    const row = open_reply_id === null ? reply : await rowOf(reply?.parent_id);
    return row?.completed_at ?? created_at;
  }

  async function askWorkflow(session: SessionRow): Promise<EngineState | undefined> {
    // Of one that has ended nobody waits for an answer.
    return session.status === 'active' ? engine.state(session.id, engineSession(session)) : undefined;
  }

  return async function readState(caller: Caller, id: string): Promise<SessionState> {
    const found = await askWorkflow(await visibleSession(sessions, caller, id));
    // In this order: a message that begins between two of these is seen twice, and not overlooked.
    const queued = await reader.queued(id);
    const session = await visibleSession(sessions, caller, id);
    const rows = { session, queued, waiting: await waitingCalls(session), turnAt: await turnTime(session) };
    if (!found || session.status !== 'active') return { ...fromRows(rows), temporal_url: engine.urlOf(id) };
    return { ...fromWorkflow(found, rows), temporal_url: engine.urlOf(id, found.runId) };
  };
}
