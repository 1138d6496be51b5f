// WebSocket frames: client frames with the bodies of REST calls, and server frames besides events.
import { z } from 'zod';
import { CreateMessage } from './messages.ts';
import { SubmitToolResults } from './tools.ts';

/** Browsers can't set headers on a WebSocket. They offer this protocol, and a second protocol with their token. */
export const SUBPROTOCOL = 'openclaw.v1';
export const TOKEN_PROTOCOL_PREFIX = 'oclaw-token.';

/** Limit for each frame. Larger bodies go through the REST calls. */
export const FRAME_BYTES_MAX = 1024 * 1024;

export const REQUEST_ID_LENGTH_MAX = 255;

const Nothing = z.strictObject({});

/** Fields of each frame type besides the envelope. */
export const FRAME_BODIES = {
  message: CreateMessage,
  tool_result: SubmitToolResults,
  tool_decision: z.looseObject({}),
  interrupt: Nothing,
  ping: Nothing,
  subscribe: z.strictObject({ after: z.int().min(0).nullish() }),
  unsubscribe: Nothing,
} as const;

export type FrameType = keyof typeof FRAME_BODIES;
export const FRAME_TYPES = Object.keys(FRAME_BODIES) as [FrameType, ...FrameType[]];
export type FrameBody<T extends FrameType> = z.output<(typeof FRAME_BODIES)[T]>;

/**
 * Fields of every client frame. `session_id` defaults to the session of the connection's path, except for `subscribe` and
 * `unsubscribe`.
 */
export const FrameEnvelope = z.looseObject({
  type: z.enum(FRAME_TYPES),
  request_id: z.string().min(1).max(REQUEST_ID_LENGTH_MAX).nullish(),
  session_id: z.string().min(1).max(100).nullish(),
});

/** Server frames aren't events, so they have no `seq`. `request_id` repeats the id of the client's frame. */
export type ServerFrame =
  | { type: 'ack'; request_id: string | null; message_id: string | null }
  | { type: 'pong'; request_id: string | null }
  | { type: 'error'; message: string; code: string; request_id: string | null }
  | { type: 'stream.opened'; session_id: string; tail_seq: number };

/** Reasons for the server to close a connection. */
export const CLOSE_CODES = {
  stopping: 1001,
  internalError: 1011,
  tooSlow: 1013,
  keyEnded: 4401,
  sessionDeleted: 4404,
} as const;
