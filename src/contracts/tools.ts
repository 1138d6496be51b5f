// Tools as sessions define and list them, and the model's calls to them.
import { z } from 'zod';
import { Timestamp } from './common.ts';
import { JsonValue } from './json-value.ts';

export const BUILT_IN_TOOLS = [
  'web_search',
  'web_fetch',
  'calculator',
  'code_interpreter',
  'file_handler',
] as const;
export const BuiltInToolName = z.enum(BUILT_IN_TOOLS);
export type BuiltInToolName = z.infer<typeof BuiltInToolName>;

/** Built-in tools of later versions. An upgrade would change the meaning of a custom tool with such a name. */
const RESERVED_NAMES = ['wait_until', 'wake_on', 'memory', 'knowledge_search'];

export const TOOLS_MAX = 128;
/** Size of the `parameters` of all tools of a session, as JSON. A request can carry no more. */
export const TOOLS_BYTES_MAX = 4 * 1024 * 1024;
export const TOOL_DESCRIPTION_LENGTH_MAX = 4_096;
/** A year, because a person or a process may take weeks. */
export const TOOL_TIMEOUT_SECONDS_MAX = 31_536_000;

const isBuiltIn = (name: string): boolean => (BUILT_IN_TOOLS as readonly string[]).includes(name);

/** A pattern, so that the OpenAPI document shows the rule too. */
const NO_BUILT_IN = new RegExp(`^(?!(?:${[...BUILT_IN_TOOLS, ...RESERVED_NAMES].join('|')})$)`);

const CustomToolName = z
  .string()
  .regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must have 1 to 64 letters, digits, underscores or hyphens')
  .regex(NO_BUILT_IN, 'is the name of a built-in tool');

/** The outcome of a call without a result in time: an error result for the model, or a failed reply. */
export const OnTimeout = z.enum(['error', 'fail']);
export type OnTimeout = z.infer<typeof OnTimeout>;

/** A tool of the client: the model calls the tool, and the client runs it and submits the result. */
export const CustomTool = z
  .strictObject({
    name: CustomToolName,
    description: z.string().min(1).max(TOOL_DESCRIPTION_LENGTH_MAX),
    /** JSON Schema. Registration checks the schema further. */
    parameters: z.record(z.string(), z.unknown()),
    timeout_seconds: z.int().min(1).max(TOOL_TIMEOUT_SECONDS_MAX).nullish(),
    on_timeout: OnTimeout.optional(),
  })
  .meta({ id: 'CustomTool' });
export type CustomTool = z.infer<typeof CustomTool>;

const BuiltInEntry = z.strictObject({ name: BuiltInToolName });

const words = `must be one of the built-in tools (${BUILT_IN_TOOLS.join(', ')}), or a tool of your own with 'name', 'description' and 'parameters'`;

export const ToolEntry = z.union([BuiltInToolName, CustomTool, BuiltInEntry], { error: () => words });
export type ToolEntry = z.infer<typeof ToolEntry>;

/** A tool to add to a session. */
export const CreateTool = z
  .union([CustomTool, BuiltInEntry], { error: () => words })
  .meta({ id: 'CreateTool' });
export type CreateTool = z.infer<typeof CreateTool>;

export const toolName = (entry: ToolEntry): string => (typeof entry === 'string' ? entry : entry.name);

export const isCustomTool = (entry: ToolEntry): entry is CustomTool => !isBuiltIn(toolName(entry));

export const ToolEntries = z
  .array(ToolEntry)
  .max(TOOLS_MAX)
  .superRefine((entries, context) => {
    entries.forEach((entry, index) => {
      const first = entries.findIndex((other) => toolName(other) === toolName(entry));
      if (first < index)
        context.addIssue({
          code: 'custom',
          path: [index],
          message: `names '${toolName(entry)}' a second time`,
        });
    });
  });

export const TOOL_TYPES = ['custom', 'builtin', 'mcp'] as const;

/** A tool in a session's list. */
export const Tool = z
  .object({
    name: z.string(),
    type: z.enum(TOOL_TYPES),
    description: z.string(),
    parameters: z.record(z.string(), z.unknown()),
    permission: z.enum(['always_allow', 'ask', 'deny']),
    available: z.boolean(),
    /** The reason why the model isn't offered the tool. */
    reason: z.string().nullable(),
    timeout_seconds: z.number().int().nullable(),
    on_timeout: OnTimeout.nullable(),
    created_at: Timestamp,
  })
  .meta({ id: 'Tool' });
export type Tool = z.infer<typeof Tool>;

export const TOOL_CALL_STATUSES = [
  'running',
  'awaiting_result',
  'awaiting_approval',
  'completed',
  'failed',
  'denied',
  'timed_out',
  'cancelled',
  'unknown',
] as const;
export type ToolCallStatus = (typeof TOOL_CALL_STATUSES)[number];

/** Calls that block the model's next step. */
export const OPEN_TOOL_CALLS: readonly ToolCallStatus[] = [
  'running',
  'awaiting_result',
  'awaiting_approval',
  'unknown',
];

/** A tool call by the model. */
export const ToolCall = z
  .object({
    id: z.string(),
    name: z.string(),
    type: z.enum(TOOL_TYPES),
    parameters: z.record(z.string(), z.unknown()),
    status: z.enum(TOOL_CALL_STATUSES),
    result: z.unknown(),
    is_error: z.boolean(),
    session_id: z.string(),
    message_id: z.string(),
    effect_id: z.string().nullable(),
    expires_at: Timestamp.nullable(),
    created_at: Timestamp,
    completed_at: Timestamp.nullable(),
  })
  .meta({ id: 'ToolCall' });
export type ToolCall = z.infer<typeof ToolCall>;

/** A call whose long fields may be null in a response without room for them. The list of calls shows them in full. */
export const ShownToolCall = ToolCall.extend({ parameters: ToolCall.shape.parameters.nullable() }).meta({
  id: 'ShownToolCall',
});
export type ShownToolCall = z.infer<typeof ShownToolCall>;

/** URL of a session's calls in full. */
export const toolCallsUrl = (sessionId: string): string => `/v1/sessions/${sessionId}/tool-calls`;

export const TOOL_RESULTS_MAX = 100;

const ToolResult = z.strictObject({
  tool_call_id: z.string().min(1).max(100),
  result: JsonValue,
  is_error: z.boolean().optional(),
});
export type ToolResult = z.infer<typeof ToolResult>;

const delivery = { wait: z.boolean().optional(), stream: z.boolean().optional() };

/** One result, or several that are accepted all or none. */
export const SubmitToolResults = z
  .union([
    z.strictObject({ ...ToolResult.shape, ...delivery }),
    z.strictObject({ results: z.array(ToolResult).min(1).max(TOOL_RESULTS_MAX), ...delivery }),
  ])
  .meta({ id: 'SubmitToolResults' });
export type SubmitToolResults = z.infer<typeof SubmitToolResults>;
