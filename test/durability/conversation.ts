// What must hold of a session's log and messages, whatever was killed meanwhile.
import { type ApiClient, eventually, type SseFrame } from '../support/api-client.ts';
import { type ServerOptions, type ServerProcess, startServer } from '../support/process.ts';

/** Far beyond every recovery that was measured: only a turn that is lost for good gets here. */
export const RECOVERY_MS_MAX = 60_000;

/** A server that may be asked for its state as often as these suites do. */
export const start = (where: Pick<ServerOptions, 'dataDir' | 'port'> = {}): Promise<ServerProcess> =>
  startServer({ ...where, env: { OPENCLAW_RATE_LIMIT_PER_MINUTE: '1000000' } });

const FINAL_TYPES = ['message.completed', 'message.interrupted', 'message.failed'];

export interface Asked {
  sessionId: string;
  /** The assistant message that answers. */
  replyId: string;
}

/** Sends a message that is answered in the background. */
export async function ask(api: ApiClient, sessionId: string, content: string): Promise<Asked> {
  const reply = await api.send(sessionId, content, { background: true });
  return { sessionId, replyId: reply.id };
}

export async function answered(api: ApiClient, { sessionId, replyId }: Asked): Promise<any> {
  const read = async () => (await api.get(`/v1/sessions/${sessionId}/messages/${replyId}`)).body;
  return eventually(read, (message) => message.status === 'completed', RECOVERY_MS_MAX);
}

/** A streamed call that is read in the background, until it ends or is cut. */
export function watch(api: ApiClient, sessionId: string, content: string) {
  const frames: SseFrame[] = [];
  const ended = (async () => {
    try {
      for await (const frame of api.stream(sessionId, content)) frames.push(frame);
      return 'ended';
    } catch {
      return 'cut';
    }
  })();
  const deltas = () => frames.filter(({ data }) => data.type === 'content_delta');
  return { frames, ended, deltas, replyId: (): string => frames[0]?.data.message_id };
}

/** The text of a message as its events tell it: what a reset voids is gone. */
export function textOf(events: any[], replyId: string): string {
  const steps = new Map<number, string>();
  for (const { type, message_id, step, text } of events) {
    if (message_id !== replyId) continue;
    if (type === 'message.reset') steps.set(step, '');
    if (type === 'message.delta') steps.set(step, (steps.get(step) ?? '') + text);
  }
  return [...steps.values()].join('');
}

async function everyMessage(api: ApiClient, sessionId: string): Promise<any[]> {
  const all: any[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await api.get(`/v1/sessions/${sessionId}/messages?limit=100${cursor}`);
    all.push(...body.data);
    if (!body.has_more) return all;
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
  }
}

const isOver = ({ status }: { status: string }): boolean => status !== 'queued' && status !== 'in_progress';

/** The whole session read back: `seq` without a gap, and each message and each end of one exactly once. */
export async function readBack(api: ApiClient, sessionId: string) {
  // A message whose acknowledgement the kill cut off was stored all the same, and may be having its turn now.
  await eventually(
    () => everyMessage(api, sessionId),
    (all) => all.every(isOver),
    RECOVERY_MS_MAX,
  );
  const events = await api.events(sessionId);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  const messages = await everyMessage(api, sessionId);
  const idsOf = (role: string) =>
    messages.filter((each) => each.role === role).map((each): string => each.id);
  const created = (role: string) =>
    events.filter(({ type, message }) => type === 'message.created' && message.role === role);
  for (const role of ['user', 'assistant'])
    expect(created(role).map(({ message }) => message.id)).toEqual(idsOf(role));
  const ends = events.filter(({ type }) => FINAL_TYPES.includes(type));
  expect(ends.map(({ message_id }) => message_id)).toEqual(idsOf('assistant'));
  return { events, messages };
}

/** A question and its answer, complete and the same in every place that holds it. */
export async function expectOneAnswer(api: ApiClient, { sessionId, replyId }: Asked, words: number) {
  const { events, messages } = await readBack(api, sessionId);
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
  const [, reply] = messages;
  expect(reply).toMatchObject({ id: replyId, status: 'completed', error: null });
  expect(reply.content.split(' ')).toHaveLength(words);
  expect(textOf(events, replyId)).toBe(reply.content);
  return events;
}

/** Every frame that a client has seen stands in the log under its number, and none before the last is missing. */
export function expectPrefix(frames: SseFrame[], events: any[], replyId: string): void {
  const seen = frames.map(({ id, data }) => [id, data.text ?? null]);
  const logged = events
    .filter(({ message_id }) => message_id === replyId)
    .map(({ seq, text }) => [seq, text ?? null]);
  expect(seen.length).toBeGreaterThan(0);
  expect(logged.slice(0, seen.length)).toEqual(seen);
}
