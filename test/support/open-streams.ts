// Many streams at once, read as bytes: how each of them ended, what it was given, and whether it gets the rest elsewhere.
import { type ApiClient, eventually } from './api-client.ts';

export interface Frame {
  id: number | null;
  event: string;
  data: any;
}

interface Reading {
  sessionId: string;
  replyId: string;
  names: 'stream' | 'log';
  frames: Frame[];
  /** Of a last frame that has no end. */
  rest(): string;
  /** When and how the server ended it. */
  ended: Promise<{ at: number; how: 'whole' | 'cut' }>;
}

function parse(text: string): Frame {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1];
  const id = field('id');
  return {
    id: id === undefined ? null : Number(id),
    event: field('event') ?? '',
    data: JSON.parse(field('data')!),
  };
}

/** Reads to its end. Comments are left out. */
function read(response: Response): Pick<Reading, 'frames' | 'rest' | 'ended'> {
  const frames: Frame[] = [];
  const decoder = new TextDecoder();
  let text = '';
  const ended = (async () => {
    try {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        const parts = (text + decoder.decode(chunk, { stream: true })).split('\n\n');
        text = parts.pop()!;
        frames.push(...parts.filter((part) => !part.startsWith(':')).map(parse));
      }
      return { at: Date.now(), how: 'whole' as const };
    } catch {
      return { at: Date.now(), how: 'cut' as const };
    }
  })();
  return { frames, rest: () => text, ended };
}

const headersOf = (api: ApiClient) => ({
  Authorization: `Bearer ${api.key}`,
  'Content-Type': 'application/json',
});

/** A turn that is streamed to who asked, and the feed of its session beside it. */
async function open(url: string, api: ApiClient, content: string): Promise<[Reading, Reading]> {
  const { id: sessionId } = await api.session();
  const [posted, followed] = await Promise.all([
    fetch(`${url}/v1/sessions/${sessionId}/messages`, {
      method: 'POST',
      headers: headersOf(api),
      body: JSON.stringify({ content, stream: true }),
    }),
    fetch(`${url}/v1/sessions/${sessionId}/events?after=0`, {
      headers: { ...headersOf(api), Accept: 'text/event-stream' },
    }),
  ]);
  expect([posted.status, followed.status]).toEqual([200, 200]);
  const replyId = posted.headers.get('location')!.split('/').at(-1)!;
  return [
    { sessionId, replyId, names: 'stream', ...read(posted) },
    { sessionId, replyId, names: 'log', ...read(followed) },
  ];
}

const hasWords = ({ frames }: Reading) => frames.some(({ data }) => data.text !== undefined);

/** So many turns, each with two streams, all of which have seen some of their words. */
export async function openStreams(
  url: string,
  api: ApiClient,
  content: string,
  turns: number,
): Promise<Reading[]> {
  const opened = await Promise.all(Array.from({ length: turns }, () => open(url, api, content)));
  const readings = opened.flat();
  await eventually(async () => readings.every(hasWords), Boolean, 60_000);
  return readings;
}

const isFinal = ({ event }: Frame): boolean => ['message', 'message.completed'].includes(event);

/** On a slow machine a turn may be over before the others have begun. */
export const isOver = ({ frames }: Reading): boolean => frames.some(isFinal);

/** What a reader gets who comes back with the last id that it has, up to the end of the turn. */
async function resume(api: ApiClient, reading: Reading): Promise<Frame[]> {
  if (isOver(reading)) return [];
  const { sessionId, replyId, names, frames } = reading;
  const query = names === 'stream' ? `?names=stream&message_id=${replyId}` : '?after=0';
  const headers = { 'Last-Event-ID': String(frames.at(-1)?.id) };
  const rest: Frame[] = [];
  for await (const frame of api.follow(sessionId, query, headers)) {
    if (frame.id !== null) rest.push(frame);
    if (isFinal(frame)) break;
  }
  return rest;
}

/** Nothing half-written, and with the rest exactly what the log holds. @returns what the log says of the turn. */
export async function expectResumed(api: ApiClient, reading: Reading): Promise<any[]> {
  const { sessionId, replyId, names, frames } = reading;
  expect([(await reading.ended).how, reading.rest()]).toEqual(['whole', '']);
  const all = [...frames.filter(({ id }) => id !== null), ...(await resume(api, reading))];
  const events = await api.events(sessionId);
  const ofReader = events.filter(({ message_id }) => names === 'log' || message_id === replyId);
  // All of them get the same contents; the types are named otherwise.
  const withoutType = ({ type: _, ...event }: any) => event;
  expect(all.map(({ data }) => withoutType(data))).toEqual(ofReader.map(withoutType));
  expect(events.at(-1)).toMatchObject({ type: 'message.completed', message_id: replyId });
  return events;
}
