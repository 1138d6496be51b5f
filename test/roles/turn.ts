// One question and its answer, followed and read back over the API.
import { type ApiClient, eventually, type SseFrame } from '../support/api-client.ts';

/** Far beyond every recovery that was measured: only a turn that is lost for good gets here. */
const RECOVERY_MS_MAX = 60_000;

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
function textOf(events: any[], replyId: string): string {
  const steps = new Map<number, string>();
  for (const { type, message_id, step, text } of events) {
    if (message_id !== replyId) continue;
    if (type === 'message.reset') steps.set(step, '');
    if (type === 'message.delta') steps.set(step, (steps.get(step) ?? '') + text);
  }
  return [...steps.values()].join('');
}

/** `seq` counts from 1 without a gap. */
export async function gapFreeEvents(api: ApiClient, sessionId: string): Promise<any[]> {
  const events = await api.events(sessionId);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  return events;
}

/** The session's only question and its answer, complete, ended once, and the same in every place that holds it. */
export async function expectOneAnswer(api: ApiClient, asked: Asked, words: number): Promise<any[]> {
  const { sessionId, replyId } = asked;
  const reply = await answered(api, asked);
  const { data: messages } = (await api.get(`/v1/sessions/${sessionId}/messages`)).body;
  expect(messages.map(({ role }: any) => role)).toEqual(['user', 'assistant']);
  expect(messages[1]).toEqual(reply);
  expect(reply).toMatchObject({ id: replyId, error: null });
  expect(reply.content.split(' ')).toHaveLength(words);
  const events = await gapFreeEvents(api, sessionId);
  expect(textOf(events, replyId)).toBe(reply.content);
  const ofType = (type: string) => events.filter((event) => event.type === type);
  expect(ofType('message.created').map(({ message }) => message.id)).toEqual(
    messages.map(({ id }: any) => id),
  );
  expect(ofType('message.completed').map(({ message_id }) => message_id)).toEqual([replyId]);
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
