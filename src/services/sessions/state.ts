// Explains why a session hasn't replied: the workflow's own state, or the rows' view when no workflow answers.
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

/** Half a page, because a session shows its state beside its messages. */
const WAITING_BYTES_MAX = PAGE_BYTES_MAX / 2;

type StateFacts = Omit<SessionState, 'temporal_url'>;

/** The store's view of the session. */
interface Rows {
  session: SessionRow;
  queued: Pick<MessageRow, 'id' | 'created_at'>[];
  waiting: ToolCallRow[];
  /** When the current turn began. Without a current turn: when the last turn ended, or the session began. */
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

/** When the session entered its phase. */
function sinceOf({ session, queued, waiting, turnAt }: Rows): string {
  if (waiting.length > 0) return toTimestamp(Math.min(...waiting.map((call) => call.created_at)));
  // A message accepted while no turn ran has waited for its turn since then.
  const acceptedAt = session.open_reply_id === null ? (queued[0]?.created_at ?? 0) : 0;
  return toTimestamp(session.ended_at ?? Math.max(turnAt, acceptedAt));
}

/** The workflow's own state. If the workflow lags behind the store, the accepted rows are shown immediately. */
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
  // An ended session has no workflow. This is the normal state, not a fault of the engine.
  engine: rows.session.status === 'active' ? 'unavailable' : 'available',
  phase: phaseOf(rows),
  reason: rows.session.ended_reason,
  since: sinceOf(rows),
  queue: rows.queued.map((message) => message.id),
  ...waitingView(rows),
  wakes_at: wakesAt(rows),
  activity: null,
});

/** When the first call expires, or when the idle session expires. */
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
    // A user message completes when its turn begins.
    const row = open_reply_id === null ? reply : await rowOf(reply?.parent_id);
    return row?.completed_at ?? created_at;
  }

  async function askWorkflow(session: SessionRow): Promise<EngineState | undefined> {
    // An ended session's workflow is not queried.
    return session.status === 'active' ? engine.state(session.id, engineSession(session)) : undefined;
  }

  return async function readState(caller: Caller, id: string): Promise<SessionState> {
    const found = await askWorkflow(await visibleSession(sessions, caller, id));
    // The order matters: a message whose turn begins between two reads is found twice instead of missed.
    const queued = await reader.queued(id);
    const session = await visibleSession(sessions, caller, id);
    const rows = { session, queued, waiting: await waitingCalls(session), turnAt: await turnTime(session) };
    if (!found || session.status !== 'active') return { ...fromRows(rows), temporal_url: engine.urlOf(id) };
    return { ...fromWorkflow(found, rows), temporal_url: engine.urlOf(id, found.runId) };
  };
}
