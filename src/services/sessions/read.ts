// Reads sessions: a session with its latest messages, its state, or a page of the list.
import { shortMessage } from '../../contracts/event-body.ts';
import { stringifyJson } from '../../contracts/json.ts';
import type { Session, SessionState } from '../../contracts/sessions.ts';
import { countFitting, PAGE_BYTES_MAX } from '../../stores/page-bytes.ts';
import type { SessionRow } from '../../stores/schema.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { SessionView } from '../../views/sessions.ts';
import type { Engine } from '../engine.ts';
import type { MessageReader } from '../messages/reader.ts';
import type { Caller } from '../ports.ts';
import { visibleSession } from '../session-access.ts';
import { createList } from './list.ts';
import { createStateReader } from './state.ts';

/** Messages shown with a session. The list of messages has all of them. */
const MESSAGES_SHOWN = 100;

export interface ReadDeps {
  sessions: SessionsStore;
  reader: MessageReader;
  sessionView: SessionView;
  engine: Pick<Engine, 'state' | 'urlOf'>;
}

/** The caller's session as the API shows it now. */
export type ShowSession = (caller: Caller, sessionId: string) => Promise<Session>;

export function createReads({ sessions, reader, sessionView, engine }: ReadDeps) {
  const readState = createStateReader({ engine, reader, sessions });

  /** Sizes are read before messages, so that an omitted message costs nothing. */
  async function view(row: SessionRow, state?: SessionState): Promise<Session> {
    const shown = { ...sessionView(row), system_prompt: row.system_prompt, ...(state && { state }) };
    const newestFirst = (await reader.conversation(row.id, MESSAGES_SHOWN)).slice(-MESSAGES_SHOWN).reverse();
    const bytesMax = PAGE_BYTES_MAX - Buffer.byteLength(stringifyJson(shown));
    const fitting = countFitting(await reader.sizesOf(newestFirst), { bytesMax, leastCount: 0 });
    const whole = await reader.viewAll(newestFirst.slice(0, fitting).reverse());
    const messages = fitting > 0 ? whole : (await reader.viewAll(newestFirst.slice(0, 1))).map(shortMessage);
    return { ...shown, truncated: fitting < newestFirst.length, messages };
  }

  const show: ShowSession = async (caller, id) => view(await visibleSession(sessions, caller, id));

  async function get(
    caller: Caller,
    id: string,
    { includeState }: { includeState: boolean },
  ): Promise<Session> {
    const row = await visibleSession(sessions, caller, id);
    return view(row, includeState ? await readState(caller, id) : undefined);
  }

  return { show, get, state: readState, list: createList({ sessions, sessionView }) };
}
