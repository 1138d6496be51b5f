// Events of the session log: one table with their log names, stream names and data.
import { z } from 'zod';
import { Timestamp } from './common.ts';
import { ErrorDetail } from './errors.ts';
import { Message } from './messages.ts';
import { SessionSummary } from './sessions.ts';
import { ToolCall } from './tools.ts';

/** Log name -> name on WebSockets and on the SSE stream of a POST (the guide's names). */
export const STREAM_NAMES = {
  'session.created': 'session.created',
  'session.updated': 'session.updated',
  'session.ended': 'session.ended',
  'message.created': 'message.created',
  'message.content_started': 'content_start',
  'message.content_ended': 'content_end',
  'message.delta': 'content_delta',
  'message.reset': 'content_reset',
  'tool.called': 'tool_call',
  'tool.completed': 'tool.completed',
  'message.requires_action': 'message',
  'message.completed': 'message',
  'message.interrupted': 'message',
  'message.failed': 'message',
  'error.occurred': 'error',
} as const;

export type EventType = keyof typeof STREAM_NAMES;
export const EVENT_TYPES = Object.keys(STREAM_NAMES) as [EventType, ...EventType[]];

/** Events of a reply in progress. They are too many and too short-lived for webhooks. */
const STREAMED_ONLY = [
  'message.content_started',
  'message.content_ended',
  'message.delta',
  'message.reset',
] as const satisfies EventType[];

export type WebhookEventType = Exclude<EventType, (typeof STREAMED_ONLY)[number]>;

export const isWebhookEvent = (type: EventType): type is WebhookEventType =>
  !(STREAMED_ONLY as readonly EventType[]).includes(type);

/** Events a webhook can subscribe to. */
export const WEBHOOK_EVENTS = EVENT_TYPES.filter(isWebhookEvent) as [WebhookEventType, ...WebhookEventType[]];

/** The two sets of event names. Clients choose between them. */
export const EVENT_NAMES = ['stream', 'log'] as const;
export type EventNames = (typeof EVENT_NAMES)[number];

export const nameOf = (type: EventType, names: EventNames): string =>
  names === 'stream' ? STREAM_NAMES[type] : type;

/** Every event name in any response. */
export const ALL_EVENT_NAMES = [...new Set([...EVENT_TYPES, ...Object.values(STREAM_NAMES)])];

/** The first frame of every stream of a log. Its `tail_seq` is the seq of the last event when the stream began. */
export const OPENING_NAME = 'stream.opened';

/** UTF-16 units of one `message.delta`. The frame stays far below 16 KiB even if every unit is escaped. */
export const DELTA_LENGTH_MAX = 2_000;

const SessionData = z.object({ session: SessionSummary });
const MessageData = z.object({ message: Message });
/** Results are null, and so are long fields from earlier events. `url` then points to the full message. */
const RequiresActionData = z.object({
  message: Message.extend({
    content: z.string().nullable(),
    content_blocks: Message.shape.content_blocks.nullable(),
  }),
  truncated: z.literal(true).optional(),
  url: z.string().optional(),
});
const ToolCallData = z.object({ tool_call: ToolCall });
const StepData = z.object({ step: z.number().int() });

/** Data of an event besides its envelope, by log name. */
export const EVENT_DATA = {
  'session.created': SessionData,
  'session.updated': SessionData,
  'session.ended': SessionData.extend({ reason: z.enum(['completed', 'expired', 'archived', 'deleted']) }),
  'message.created': MessageData,
  'message.content_started': StepData,
  'message.content_ended': StepData,
  'message.delta': StepData.extend({ text: z.string().min(1).max(DELTA_LENGTH_MAX) }),
  'message.reset': StepData,
  'tool.called': ToolCallData,
  'tool.completed': ToolCallData,
  'message.requires_action': RequiresActionData,
  'message.completed': MessageData,
  'message.interrupted': MessageData,
  'message.failed': MessageData,
  'error.occurred': z.object({ error: ErrorDetail }),
} as const satisfies Record<EventType, z.ZodType>;

/** URL of the full message. */
export const messageUrl = (sessionId: string, messageId: string): string =>
  `/v1/sessions/${sessionId}/messages/${messageId}`;

export type EventData<T extends EventType> = z.infer<(typeof EVENT_DATA)[T]>;

/** An event as stored in the log: the envelope, with the data in its own field. */
export interface SessionEvent {
  id: string;
  seq: number;
  type: EventType;
  created_at: string;
  session_id: string;
  message_id: string | null;
  data: Record<string, unknown>;
}

/** JSON pages show the data next to the envelope's fields. */
export const Event = z
  .looseObject({
    id: z.string(),
    seq: z.number().int(),
    type: z.enum(ALL_EVENT_NAMES),
    created_at: Timestamp,
    session_id: z.string(),
    message_id: z.string().nullable(),
  })
  .meta({ id: 'Event' });
export type Event = z.infer<typeof Event>;

/** Events at the end of a POST's stream: the reply is over, or needs the caller. */
export const FINAL_EVENTS: readonly EventType[] = [
  'message.requires_action',
  'message.completed',
  'message.interrupted',
  'message.failed',
];
