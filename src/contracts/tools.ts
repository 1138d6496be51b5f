// Tools as a session names them. Custom tools come with their own issue; built-in names are accepted already.
import { z } from 'zod';

export const BUILT_IN_TOOLS = [
  'web_search',
  'web_fetch',
  'calculator',
  'code_interpreter',
  'file_handler',
] as const;
export const BuiltInToolName = z.enum(BUILT_IN_TOOLS);
export type BuiltInToolName = z.infer<typeof BuiltInToolName>;

export const ToolEntry = z.union([BuiltInToolName, z.strictObject({ name: BuiltInToolName })], {
  error: () => `must be one of the built-in tools: ${BUILT_IN_TOOLS.join(', ')}`,
});
export type ToolEntry = z.infer<typeof ToolEntry>;

export const TOOLS_MAX = 128;

export const toolName = (entry: ToolEntry): BuiltInToolName =>
  typeof entry === 'string' ? entry : entry.name;

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

/** A call of a tool by the model. No tool runs yet, so lists of them are empty in this version. */
export const ToolCall = z
  .object({
    id: z.string(),
    name: z.string(),
    type: z.enum(['custom', 'builtin', 'mcp']),
    parameters: z.record(z.string(), z.unknown()),
    status: z.string(),
    result: z.unknown(),
    is_error: z.boolean(),
    session_id: z.string(),
    message_id: z.string(),
    effect_id: z.string().nullable(),
    expires_at: z.string().nullable(),
    created_at: z.string(),
    completed_at: z.string().nullable(),
  })
  .meta({ id: 'ToolCall' });
export type ToolCall = z.infer<typeof ToolCall>;
