// The server's own story after the harm: every session with its messages and its log, read over the API.
import { type ApiClient, eventually } from '../../support/api-client.ts';
import type { Ledger, Reply } from './ledger.ts';

export interface SessionStory {
  sessionId: string;
  session: any;
  /** As the list has them, oldest first. */
  messages: any[];
  /** Each acknowledged reply as it is read by its id. */
  replies: Map<string, Reply>;
  events: any[];
}

const isOver = ({ status }: { status: string }): boolean => status !== 'queued' && status !== 'in_progress';

async function everyMessage(api: ApiClient, sessionId: string): Promise<any[]> {
  const all: any[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await api.get(`/v1/sessions/${sessionId}/messages?limit=100${cursor}`);
    all.push(...body.data);
    if (!body.has_more) return all;
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
  }
}

/** Waits until its turns are over, for a message whose acknowledgement a kill cut off may be having its turn now. */
export async function readSession(
  api: ApiClient,
  sessionId: string,
  replyIds: readonly string[] = [],
  timeoutMs = 60_000,
): Promise<SessionStory> {
  const path = `/v1/sessions/${sessionId}`;
  // What never ends is told by the check, with the rest of the story.
  await eventually(
    () => everyMessage(api, sessionId),
    (all) => all.every(isOver),
    timeoutMs,
  ).catch(() => undefined);
  const replies = new Map<string, Reply>();
  for (const id of replyIds) {
    const { status, body } = await api.get(`${path}/messages/${id}`);
    if (status === 200) replies.set(id, body);
  }
  return {
    sessionId,
    session: (await api.get(path)).body,
    messages: await everyMessage(api, sessionId),
    replies,
    events: await api.events(sessionId),
  };
}

/** Every session that the ledger knows. */
export async function readStories(api: ApiClient, ledger: Ledger): Promise<SessionStory[]> {
  const ids = [...new Set(ledger.entries.map(({ sessionId }) => sessionId))];
  const stories: SessionStory[] = [];
  for (const id of ids) {
    const own = ledger.entries.filter(({ sessionId }) => sessionId === id);
    const replyIds = own.flatMap(({ acknowledged }) => acknowledged?.replyId ?? []);
    stories.push(await readSession(api, id, replyIds));
  }
  return stories;
}
