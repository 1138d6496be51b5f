// Frames of a WebSocket: what a client may send, with the bodies of the REST calls, and what it gets beside events.
import { z } from 'zod';
import { CreateMessage } from './messages.ts';
import { SubmitToolResults } from './tools.ts';

/** A browser can't set headers: it offers this protocol, and its token as another one. */
export const SUBPROTOCOL = 'openclaw.v1';
export const TOKEN_PROTOCOL_PREFIX = 'oclaw-token.';

/** Of one frame. Larger bodies go through the REST calls. */
export const FRAME_BYTES_MAX = 1024 * 1024;

export const REQUEST_ID_LENGTH_MAX = 255;

const Nothing = z.strictObject({});

/** What each kind of frame carries beside its envelope. */
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

/** Of every frame. Without `session_id` it is about the session of the connection's path. */
export const FrameEnvelope = z.looseObject({
  type: z.enum(FRAME_TYPES),
  request_id: z.string().min(1).max(REQUEST_ID_LENGTH_MAX).nullish(),
  session_id: z.string().min(1).max(100).nullish(),
});

/** None of these is an event, so none has a `seq`. `request_id` is that of the frame that it answers. */
export type ServerFrame =
  | { type: 'ack'; request_id: string | null; message_id: string | null }
  | { type: 'pong'; request_id: string | null }
  | { type: 'error'; message: string; code: string; request_id: string | null }
  | { type: 'stream.opened'; session_id: string; tail_seq: number };

/** Why the server ends a connection. */
export const CLOSE_CODES = {
  stopping: 1001,
  internalError: 1011,
  tooSlow: 1013,
  keyEnded: 4401,
  sessionDeleted: 4404,
} as const;
