// Announces this process's commits to other processes over Redis, and receives theirs. An announcement names new events without
// their contents. Announcements are hints, because Redis may lose them.
import { z } from 'zod';
import { EVENT_TYPES } from '../contracts/events.ts';
import type { Change } from '../events/live-channel.ts';
import type { Hints } from '../events/polled-channel.ts';
import type { RedisConnection } from './connection.ts';

/** One channel per session, so that a process only hears of sessions followed there. */
const channelOf = (sessionId: string): string => `openclaw:session:${sessionId}`;

const Hint = z.object({
  seq: z.number().int(),
  events: z.array(z.object({ type: z.enum(EVENT_TYPES), message_id: z.string().nullable() })).optional(),
});

const textOf = ({ seq, events }: Change): string =>
  JSON.stringify({ seq, events: events?.map(({ type, message_id }) => ({ type, message_id })) });

/** Null for a format of another version. Followers then read the log. */
function changeOf(sessionId: string, text: string): Change | null {
  try {
    const { seq, events } = Hint.parse(JSON.parse(text));
    return { sessionId, seq, ...(events ? { events } : {}) };
  } catch {
    return null;
  }
}

export const createRedisHints = ({ isLive, publish, subscribe }: RedisConnection): Hints => ({
  isLive,
  publish: (change) => publish(channelOf(change.sessionId), textOf(change)),
  follow: (sessionId, heard) =>
    subscribe(channelOf(sessionId), (text) => heard(text === null ? null : changeOf(sessionId, text))),
});
