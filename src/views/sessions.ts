// Session rows as the API shows them, with warnings about their settings.
import { toTimestamp, toTimestampOrNull } from '../contracts/common.ts';
import type { SessionSummary } from '../contracts/sessions.ts';
import { adaptsThinking, type Catalogue, refusesThinking } from '../models/catalogue.ts';
import type { SessionRow } from '../stores/schema.ts';
import type { Unchecked } from '../tools/json-schema/patterns.ts';
import type { ToolRegistry } from '../tools/registry.ts';
import { usageView } from './messages.ts';
import { type StoredTool, toolsOf } from './tools.ts';

export interface SessionViewDeps {
  catalogue: Catalogue;
  tools: ToolRegistry;
}

export type SessionView = ReturnType<typeof createSessionView>;

/** Options that a session may set for its turns, and a message for its own turn. */
export interface TurnOptions {
  max_tokens?: number | null;
  temperature?: number | null;
  /** Sessions of earlier versions may hold fields of another type. */
  thinking?: ({ type: string } & Record<string, unknown>) | null;
}

/** Lists and events repeat warnings, so their number is limited. */
const PATTERN_WARNINGS_MAX = 16;

const UNCHECKED_PATTERN: Record<Unchecked, string> = {
  'look-around': 'a pattern with look-around',
  foreign: 'a pattern in a syntax that JavaScript does not have',
  'too large': 'a pattern that repeats too much or names unknown classes',
};

export function createSessionView({ catalogue, tools }: SessionViewDeps) {
  function modelWarnings(model: string): string[] {
    const entry = catalogue.find(model);
    if (!entry)
      return [`Model '${model}' is no longer in the catalogue: the next turn will fail. Set another one.`];
    if (!entry.deprecated || entry.resolvesTo === model) return [];
    return [`Model '${model}' is retired: '${entry.resolvesTo}' answers in its place.`];
  }

  function toolWarnings(entries: StoredTool[]): string[] {
    return entries
      .map(({ name }) => tools.find(name))
      .filter((tool) => tool !== undefined && !tool.available)
      .map((tool) => `Tool '${tool?.name}' can't run and is not offered to the model: ${tool?.reason}.`);
  }

  function patternWarnings(entries: StoredTool[]): string[] {
    const loose = entries.filter(({ unchecked_patterns }) => unchecked_patterns !== undefined);
    const named = loose.slice(0, PATTERN_WARNINGS_MAX).map(({ name, unchecked_patterns }) => {
      const more = (unchecked_patterns?.count ?? 1) - 1;
      const others = more > 0 ? ` and ${more} more` : '';
      const pattern = UNCHECKED_PATTERN[unchecked_patterns?.reason ?? 'look-around'];
      return `Tool '${name}' has ${pattern}, which is not checked: '${unchecked_patterns?.first}'${others}.`;
    });
    const unnamed = loose.length - named.length;
    return unnamed > 0 ? [...named, `${unnamed} more tools have patterns that are not checked.`] : named;
  }

  function optionWarnings(model: string, { temperature, thinking }: TurnOptions): string[] {
    const entry = catalogue.find(model);
    if (thinking && adaptsThinking(entry, thinking.type))
      return [
        ...optionWarnings(model, { temperature }),
        `Anthropic's '${entry?.resolvesTo}' takes no 'thinking' of type 'enabled': it gets 'adaptive' in its place.`,
      ];
    const refused = [
      ...(temperature != null && entry?.acceptsTemperature === false ? ["'temperature'"] : []),
      ...(thinking && refusesThinking(entry, thinking.type) ? [`'thinking' of type '${thinking.type}'`] : []),
    ];
    return refused.map((name) => `Model '${model}' takes no ${name}: it answers without it.`);
  }

  return function sessionView(row: SessionRow): SessionSummary {
    const entries = toolsOf(row);
    const options: TurnOptions = JSON.parse(row.turn_options);
    const usage = usageView(row);
    return {
      id: row.id,
      title: row.title,
      model: row.model,
      created_at: toTimestamp(row.created_at),
      updated_at: toTimestamp(row.updated_at),
      status: row.status,
      ended_at: toTimestampOrNull(row.ended_at),
      ended_reason: row.ended_reason === 'deleted' ? null : row.ended_reason,
      tools: entries.map(({ name }) => name),
      metadata: JSON.parse(row.metadata),
      memory: {},
      on_busy: row.on_busy,
      max_tokens: options.max_tokens ?? null,
      temperature: options.temperature ?? null,
      thinking: options.thinking ?? null,
      expires_after_seconds: row.expires_after_seconds,
      expires_at: toTimestampOrNull(row.expires_at),
      token_count: usage.total_tokens,
      usage,
      message_count: row.message_count,
      parent_session_id: row.parent_session_id,
      warnings: [
        ...modelWarnings(row.model),
        ...optionWarnings(row.model, options),
        ...toolWarnings(entries),
        ...patternWarnings(entries),
      ],
    };
  };
}
