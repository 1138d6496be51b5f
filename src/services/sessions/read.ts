// Shows sessions: one with its latest messages, its state, or a page of the list.
import type { Session, SessionSummary } from '../../contracts/sessions.ts';
import type { SessionRow } from '../../stores/schema.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { SessionView } from '../../views/sessions.ts';
import type { Engine } from '../engine.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { Caller, PageRequest, SessionFilter, Slice } from '../ports.ts';
import { visibleSession } from '../session-access.ts';
import { byCreation, creationOf, sliceOf } from '../slices.ts';
import { createStateReader } from './state.ts';

/** Messages that a session shows of itself; the list of messages has them all. */
const MESSAGES_SHOWN = 100;

export interface ReadDeps {
  sessions: SessionsStore;
  reader: MessageReader;
  sessionView: SessionView;
  engine: Engine;
}

/** The caller's session as the API shows it now. */
export type ShowSession = (caller: Caller, sessionId: string) => Promise<Session>;

export function createReads({ sessions, reader, sessionView, engine }: ReadDeps) {
  const readState = createStateReader({ engine, reader, sessions });

  async function view(row: SessionRow): Promise<Session> {
    const conversation = await reader.conversation(row.id, MESSAGES_SHOWN);
    const messages = await reader.viewAll(conversation.slice(-MESSAGES_SHOWN));
    return { ...sessionView(row), system_prompt: row.system_prompt, messages };
  }

  const show: ShowSession = async (caller, id) => view(await visibleSession(sessions, caller, id));

  async function get(
    caller: Caller,
    id: string,
    { includeState }: { includeState: boolean },
  ): Promise<Session> {
    const row = await visibleSession(sessions, caller, id);
    const session = await view(row);
    return includeState ? { ...session, state: await readState(caller, id) } : session;
  }

  async function list(
    caller: Caller,
    filter: SessionFilter,
    page: PageRequest,
  ): Promise<Slice<SessionSummary>> {
    const rows = await sessions.list({ accountId: caller.accountId, ...filter, ...byCreation(page) });
    const { data, next } = sliceOf(rows, page.limit, creationOf);
    return { data: data.map(sessionView), next };
  }

  return { show, get, state: readState, list };
}
