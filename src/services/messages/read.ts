// Reads messages: a single message, or a page of the conversation.
import { notFound } from '../../contracts/errors.ts';
import type { Message } from '../../contracts/messages.ts';
import type { MessageOutline } from '../../stores/message-outlines.ts';
import { countFitting } from '../../stores/page-bytes.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { Caller, PageRequest, Slice } from '../ports.ts';
import { visibleSession } from '../session-access.ts';
import { sliceOf } from '../slices.ts';
import type { MessageReader } from './reader.ts';

type Place = [position: number, side: 0 | 1];

/** Turns in order of acceptance, the user message before its reply. */
const placeOf = (row: MessageOutline): Place => [row.position ?? 0, row.role === 'user' ? 0 : 1];

const compare = (a: Place, b: Place): number => a[0] - b[0] || a[1] - b[1];

export interface ReadDeps {
  sessions: SessionsStore;
  reader: MessageReader;
}

export function createReads({ sessions, reader }: ReadDeps) {
  async function list(caller: Caller, sessionId: string, page: PageRequest): Promise<Slice<Message>> {
    const session = await visibleSession(sessions, caller, sessionId);
    const all = await reader.conversation(session.id);
    if (page.order === 'desc') all.reverse();
    const sign = page.order === 'desc' ? -1 : 1;
    const after = page.after as Place | null;
    const rest = after ? all.filter((message) => sign * compare(placeOf(message), after) > 0) : all;
    const fitting = countFitting(await reader.sizesOf(rest.slice(0, page.limit)));
    const { data, next } = sliceOf(rest, fitting, placeOf);
    return { data: await reader.viewAll(data), next };
  }

  async function get(caller: Caller, sessionId: string, messageId: string): Promise<Message> {
    const session = await visibleSession(sessions, caller, sessionId);
    const row = await reader.get(messageId);
    if (!row || row.session_id !== session.id) throw notFound('message');
    return reader.view(row);
  }

  return { list, get };
}
