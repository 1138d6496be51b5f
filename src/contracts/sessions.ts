// Sessions as clients configure and read them.
import { z } from 'zod';
import { Metadata, MetadataPatch, Timestamp, Usage } from './common.ts';
import { FirstMessage, Message, OnBusy, ShownMessage, turnOptions } from './messages.ts';
import { ShownToolCall, ToolEntries } from './tools.ts';

export const SYSTEM_PROMPT_LENGTH_MAX = 100_000;
const TITLE_LENGTH_MAX = 200;
/** Idle time before a session expires: a minute to a year. */
export const EXPIRES_AFTER_SECONDS_MIN = 60;
export const EXPIRES_AFTER_SECONDS_MAX = 31_536_000;

const settings = {
  title: z
    .string()
    .max(TITLE_LENGTH_MAX)
    .nullish()
    .meta({ description: 'A name for people. The model is not told' }),
  system_prompt: z.string().max(SYSTEM_PROMPT_LENGTH_MAX).nullish(),
  tools: ToolEntries.optional(),
  on_busy: OnBusy.optional(),
  expires_after_seconds: z.int().min(EXPIRES_AFTER_SECONDS_MIN).max(EXPIRES_AFTER_SECONDS_MAX).nullish(),
  ...turnOptions,
};

export const CreateSession = z
  .strictObject({
    model: z.string().min(1).max(200),
    metadata: Metadata.optional(),
    message: FirstMessage.optional(),
    ...settings,
  })
  .meta({ id: 'CreateSession' });
export type CreateSession = z.infer<typeof CreateSession>;

export const UpdateSession = z
  .strictObject({
    model: z.string().min(1).max(200).optional(),
    metadata: MetadataPatch.optional(),
    ...settings,
  })
  .meta({ id: 'UpdateSession' });
export type UpdateSession = z.infer<typeof UpdateSession>;

export const SESSION_STATUSES = ['active', 'completed', 'archived'] as const;
export const SessionStatus = z.enum(SESSION_STATUSES);
export type SessionStatus = z.infer<typeof SessionStatus>;
export const EndedReason = z.enum(['completed', 'expired', 'archived']);
export type EndedReason = z.infer<typeof EndedReason>;

/** List filters that test each session. */
export interface SessionTraits {
  status?: SessionStatus[];
  model?: string;
}

/** List filters that bound the range of the list. Milliseconds since the epoch, exclusive. */
export interface SessionRange {
  createdAfterMs?: number;
  createdBeforeMs?: number;
}

export const PHASES = [
  'idle',
  'running',
  'waiting_tool',
  'waiting_approval',
  'waiting_timer',
  'paused',
  'ended',
] as const;

/** The workflow's own answer to "why has my agent not answered?". */
export const SessionState = z
  .object({
    engine: z.enum(['available', 'unavailable']),
    phase: z.enum(PHASES).nullable(),
    reason: z.string().nullable(),
    since: Timestamp.nullable(),
    queue: z.array(z.string()),
    /** Beyond 2 MiB the parameters of the oldest calls are null. */
    waiting_for: z.array(ShownToolCall),
    wakes_at: Timestamp.nullable(),
    activity: z
      .object({
        type: z.string(),
        attempt: z.number().int(),
        last_failure: z.string().nullable(),
        next_retry_at: Timestamp.nullable(),
      })
      .nullable(),
    temporal_url: z.string().nullable(),
    truncated: z.literal(true).optional().meta({
      description: 'Parameters of calls are null. The calls are whole at `url`',
    }),
    url: z.string().optional(),
  })
  .meta({ id: 'SessionState' });
export type SessionState = z.infer<typeof SessionState>;

export const SessionSummary = z
  .object({
    id: z.string(),
    title: z.string().nullable(),
    model: z.string(),
    created_at: Timestamp,
    updated_at: Timestamp,
    status: SessionStatus,
    ended_at: Timestamp.nullable(),
    ended_reason: EndedReason.nullable(),
    tools: z.array(z.string()),
    metadata: z.record(z.string(), z.string()),
    memory: z.record(z.string(), z.unknown()),
    on_busy: OnBusy,
    max_tokens: z.number().int().nullable(),
    temperature: z.number().nullable(),
    thinking: z.record(z.string(), z.unknown()).nullable(),
    expires_after_seconds: z.number().int().nullable(),
    expires_at: Timestamp.nullable(),
    token_count: z.number().int(),
    usage: Usage,
    message_count: z.number().int(),
    parent_session_id: z.string().nullable(),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'SessionSummary' });
export type SessionSummary = z.infer<typeof SessionSummary>;

export const Session = SessionSummary.extend({
  system_prompt: z.string().nullable(),
  truncated: z.boolean().meta({
    description:
      'The answer holds at most 4 MiB: older messages are left out, and the long fields of the newest are null when it alone is longer. The list of messages has them all',
  }),
  messages: z.array(ShownMessage),
  state: SessionState.optional(),
}).meta({ id: 'Session' });
export type Session = z.infer<typeof Session>;

export const Interrupted = z
  .object({ interrupted: z.literal(true), message: Message.nullable() })
  .meta({ id: 'Interrupted' });
export type Interrupted = z.infer<typeof Interrupted>;
