// A session's tools, in the session's row and in the API.
import { toTimestamp } from '../contracts/common.ts';
import { parseJson, stringifyJson } from '../contracts/json.ts';
import { isCustomTool, type OnTimeout, type Tool, type ToolEntry } from '../contracts/tools.ts';
import type { SessionRow } from '../stores/schema.ts';
import type { Unchecked } from '../tools/json-schema/patterns.ts';
import type { ToolRegistry } from '../tools/registry.ts';

/** A tool in the session's row. A tool without a description is built in. */
export interface StoredTool {
  name: string;
  description?: string;
  /** The schema as JSON, so that readers parse only the schemas they need. Older rows may have none. */
  parameters_json?: string;
  /** The schema's share of the session's budget. Older rows have none. */
  work?: number;
  timeout_seconds?: number | null;
  on_timeout?: OnTimeout;
  /** Patterns that inputs aren't checked against. Older rows have no reason, which means look-around. */
  unchecked_patterns?: { first: string; reason?: Unchecked; count: number };
  /** Milliseconds. */
  created_at: number;
}

/** Earlier versions kept the schema itself, and names without times. Those tools are as old as their session. */
type Kept = string | (StoredTool & { parameters?: Record<string, unknown> });

function storedTool(tool: Kept): Omit<StoredTool, 'created_at'> {
  if (typeof tool === 'string') return { name: tool };
  const { parameters, ...others } = tool;
  return parameters === undefined ? others : { ...others, parameters_json: stringifyJson(parameters) };
}

export function toolsOf({ tools, created_at }: Pick<SessionRow, 'tools' | 'created_at'>): StoredTool[] {
  const kept: Kept[] = JSON.parse(tools);
  const hasSchemas = kept.some((tool) => typeof tool === 'object' && tool.parameters !== undefined);
  // Numbers in these schemas need their exact digits.
  const exact = hasSchemas ? parseJson<Kept[]>(tools) : kept;
  return exact.map((tool) => ({ created_at, ...storedTool(tool) }));
}

const ANY_OBJECT = { type: 'object', properties: {} };

const customView = (tool: StoredTool): Tool => ({
  name: tool.name,
  type: 'custom',
  description: tool.description ?? '',
  parameters: tool.parameters_json === undefined ? ANY_OBJECT : parseJson(tool.parameters_json),
  permission: 'always_allow',
  available: true,
  reason: null,
  timeout_seconds: tool.timeout_seconds ?? null,
  on_timeout: tool.on_timeout ?? 'error',
  created_at: toTimestamp(tool.created_at),
});

export const createToolView =
  (registry: ToolRegistry) =>
  (tool: StoredTool): Tool => {
    if (isCustomTool(tool as ToolEntry)) return customView(tool);
    const builtIn = registry.find(tool.name);
    return {
      ...customView(tool),
      type: 'builtin',
      description: builtIn?.description ?? '',
      parameters: builtIn?.inputSchema ?? ANY_OBJECT,
      available: builtIn?.available ?? false,
      reason: builtIn?.reason ?? null,
      timeout_seconds: null,
      on_timeout: null,
    };
  };
