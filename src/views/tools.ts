// The tools of a session: as its row keeps them, and as the API lists them.
import { toTimestamp } from '../contracts/common.ts';
import { parseJson } from '../contracts/json.ts';
import { isCustomTool, type OnTimeout, type Tool, type ToolEntry } from '../contracts/tools.ts';
import type { SessionRow } from '../stores/schema.ts';
import type { Unchecked } from '../tools/json-schema/patterns.ts';
import type { ToolRegistry } from '../tools/registry.ts';

/** A tool as the session's row keeps it. One without a description is built in; others of older rows may have no parameters. */
export interface StoredTool {
  name: string;
  description?: string;
  parameters?: Record<string, unknown>;
  timeout_seconds?: number | null;
  on_timeout?: OnTimeout;
  /** Its patterns that inputs are not held to. Older rows have no reason: it was look-around. */
  unchecked_patterns?: { first: string; reason?: Unchecked; count: number };
  /** Milliseconds. */
  created_at: number;
}

/** Rows of the first version hold names and no times: those tools are as old as their session. */
export const toolsOf = (row: Pick<SessionRow, 'tools' | 'created_at'>): StoredTool[] =>
  parseJson<(string | StoredTool)[]>(row.tools).map((tool) => ({
    created_at: row.created_at,
    ...(typeof tool === 'string' ? { name: tool } : tool),
  }));

const ANY_OBJECT = { type: 'object', properties: {} };

const customView = (tool: StoredTool): Tool => ({
  name: tool.name,
  type: 'custom',
  description: tool.description ?? '',
  parameters: tool.parameters ?? ANY_OBJECT,
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
