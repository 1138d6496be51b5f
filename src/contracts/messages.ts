// Messages as clients send and read them. Each POST gets one assistant message as its reply.
import { z } from 'zod';
import { Timestamp, Usage } from './common.ts';
import { ErrorDetail } from './errors.ts';
import { JsonValue } from './json-value.ts';
import { ShownToolCall } from './tools.ts';

export const CONTENT_LENGTH_MAX = 1_000_000;
export const CONTENT_BLOCKS_MAX = 1_000;

const TextBlock = z.strictObject({
  type: z.literal('text'),
  text: z.string().min(1).max(CONTENT_LENGTH_MAX),
});
const JsonBlock = z.strictObject({ type: z.literal('json'), value: JsonValue });

export const InputBlock = z.discriminatedUnion('type', [TextBlock, JsonBlock]);
export type InputBlock = z.infer<typeof InputBlock>;

export const MessageContent = z.union(
  [z.string().min(1).max(CONTENT_LENGTH_MAX), z.array(InputBlock).min(1).max(CONTENT_BLOCKS_MAX)],
  { error: 'must be a string or an array of content blocks' },
);
export type MessageContent = z.infer<typeof MessageContent>;

/**
 * The effect of a message while the session is busy:
 * - `queue`: the message waits for its turn
 * - `reject`: the message is refused
 * - `interrupt`: the running turn ends at once
 * - `steer`: the running turn ends after its current step
 */
export const OnBusy = z.enum(['queue', 'reject', 'interrupt', 'steer']);
export type OnBusy = z.infer<typeof OnBusy>;

/** Long enough for any reply in a conversation. A session or a message may set more or less. */
export const MAX_TOKENS_DEFAULT = 32_000;

/** The provider's smallest thinking budget. */
export const THINKING_BUDGET_MIN = 1_024;

const thinkingBudget = z.int().min(THINKING_BUDGET_MIN);
const display = z.enum(['summarized', 'omitted']).nullish();

/** Claude's own object. Fields of another type are refused, because the provider refuses them in every request. */
export const Thinking = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('enabled'), budget_tokens: thinkingBudget, display }),
  z.strictObject({ type: z.literal('disabled') }),
  z.strictObject({ type: z.literal('adaptive'), display }),
  z.strictObject({ type: z.literal('between_tools') }),
]);

/** Options of a turn. A session has the same fields as defaults. */
export const turnOptions = {
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(1).nullish(),
  thinking: Thinking.nullish(),
};

/** The check of `refine`, as JSON Schema. */
const bothTrue = (...names: string[]) => ({
  properties: Object.fromEntries(names.map((name) => [name, { const: true }])),
  required: names,
});

export const CreateMessage = z
  .strictObject({
    content: MessageContent,
    stream: z.boolean().optional(),
    background: z.boolean().optional(),
    on_busy: OnBusy.nullish(),
    ...turnOptions,
  })
  .refine((body) => !(body.stream && body.background), {
    path: ['background'],
    message: "can't be combined with 'stream'",
  })
  .meta({ id: 'CreateMessage', not: bothTrue('stream', 'background') });
export type CreateMessage = z.infer<typeof CreateMessage>;

/** `message` of a new session: text, or the fields of a message. The reply is written in the background. */
export const FirstMessage = z.union(
  [
    z.string().min(1).max(CONTENT_LENGTH_MAX),
    z.array(InputBlock).min(1).max(CONTENT_BLOCKS_MAX),
    z.strictObject({ content: MessageContent, ...turnOptions }),
  ],
  { error: "must be a string, an array of content blocks, or an object with 'content'" },
);
export type FirstMessage = z.infer<typeof FirstMessage>;

export const MESSAGE_STATUSES = [
  'queued',
  'in_progress',
  'requires_action',
  'completed',
  'interrupted',
  'failed',
] as const;
export type MessageStatus = (typeof MESSAGE_STATUSES)[number];

/** Statuses of finished messages. They never change again. */
export const TERMINAL_STATUSES: readonly MessageStatus[] = ['completed', 'interrupted', 'failed'];
export const isTerminal = (status: MessageStatus): boolean => TERMINAL_STATUSES.includes(status);

export const Message = z
  .object({
    id: z.string(),
    session_id: z.string(),
    parent_id: z.string().nullable(),
    role: z.enum(['user', 'assistant']),
    content: z.string(),
    content_blocks: z.array(z.looseObject({ type: z.string() })),
    status: z.enum(MESSAGE_STATUSES),
    stop_reason: z.string().nullable(),
    model: z.string().nullable(),
    usage: Usage,
    /** Beyond 4 MiB the oldest results are null, and then the oldest parameters. */
    tool_calls: z.array(ShownToolCall),
    waiting_for: z.array(z.string()),
    files: z.array(z.string()),
    error: ErrorDetail.nullable(),
    created_at: Timestamp,
    completed_at: Timestamp.nullable(),
    truncated: z
      .literal(true)
      .optional()
      .meta({
        description:
          'Long fields are null: results and parameters of tool calls beyond 4 MiB. The calls are whole at `url`. ' +
          'The text of a message is always whole in its own answer',
      }),
    url: z.string().optional(),
  })
  .meta({ id: 'Message' });
export type Message = z.infer<typeof Message>;

/** A message whose long fields may be null. `truncated` is then set, and `url` points to the full message. */
export const ShownMessage = Message.extend({
  content: Message.shape.content.nullable(),
  content_blocks: Message.shape.content_blocks.nullable(),
  tool_calls: Message.shape.tool_calls.nullable(),
}).meta({ id: 'ShownMessage' });
export type ShownMessage = z.infer<typeof ShownMessage>;
