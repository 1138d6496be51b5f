// The session log's events: one table of log names, their names on streams, and what each carries.
import { z } from 'zod';
import { Timestamp } from './common.ts';
import { ErrorDetail } from './errors.ts';
import { Message } from './messages.ts';
import { SessionSummary } from './sessions.ts';
import { ToolCall } from './tools.ts';

/** Log name -> name on the SSE stream of a POST and on WebSockets (the guide's names). */
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

/** What a reader follows while a reply is written: far too much, and far too short-lived, for a webhook. */
const STREAMED_ONLY = [
  'message.content_started',
  'message.content_ended',
  'message.delta',
  'message.reset',
] as const satisfies EventType[];

export type WebhookEventType = Exclude<EventType, (typeof STREAMED_ONLY)[number]>;

export const isWebhookEvent = (type: EventType): type is WebhookEventType =>
  !(STREAMED_ONLY as readonly EventType[]).includes(type);

/** What a webhook can ask for. */
export const WEBHOOK_EVENTS = EVENT_TYPES.filter(isWebhookEvent) as [WebhookEventType, ...WebhookEventType[]];

/** Which names events have on a channel. */
export const EVENT_NAMES = ['stream', 'log'] as const;
export type EventNames = (typeof EVENT_NAMES)[number];

export const nameOf = (type: EventType, names: EventNames): string =>
  names === 'stream' ? STREAM_NAMES[type] : type;

/** Every name that an event can have in an answer. */
export const ALL_EVENT_NAMES = [...new Set([...EVENT_TYPES, ...Object.values(STREAM_NAMES)])];

/** First on every stream of a log, with `tail_seq`: the seq of the last event when the stream began. */
export const OPENING_NAME = 'stream.opened';

/** UTF-16 units of one `message.delta`, so that a frame stays far below 16 KiB even when every unit is escaped. */
export const DELTA_LENGTH_MAX = 2_000;

const SessionData = z.object({ session: SessionSummary });
const MessageData = z.object({ message: Message });
/** Results, and long fields that earlier events told, are null; then `url` is where the whole message is. */
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

/** What an event carries beside its envelope, by log name. */
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

/** Where a message is read whole. */
export const messageUrl = (sessionId: string, messageId: string): string =>
  `/v1/sessions/${sessionId}/messages/${messageId}`;

export type EventData<T extends EventType> = z.infer<(typeof EVENT_DATA)[T]>;

/** An event as the log holds it: the envelope, and the carried fields beside it. */
export interface SessionEvent {
  id: string;
  seq: number;
  type: EventType;
  created_at: string;
  session_id: string;
  message_id: string | null;
  data: Record<string, unknown>;
}

/** On JSON pages the carried fields stand beside the envelope's. */
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

/** Events that end the stream of a POST: the reply is over, or needs the caller. */
export const FINAL_EVENTS: readonly EventType[] = [
  'message.requires_action',
  'message.completed',
  'message.interrupted',
  'message.failed',
];
