// The tools of a session: listed, added, replaced and removed. A change applies from the next model call.
import { deleted } from '../../contracts/common.ts';
import { ApiError, notFound } from '../../contracts/errors.ts';
import { stringifyJson } from '../../contracts/json.ts';
import { type CreateTool, TOOLS_MAX, type Tool } from '../../contracts/tools.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';
import type { ToolRegistry } from '../../tools/registry.ts';
import { changeHeldTools } from '../../turns/settings.ts';
import type { SessionView } from '../../views/sessions.ts';
import { createToolView, type StoredTool, toolsOf } from '../../views/tools.ts';
import type { Keep, Once, Resource } from '../idempotency.ts';
import type { Caller, Idempotency, PageRequest, ToolsService, Written } from '../ports.ts';
import { type ChangeDeps, changeSession, visibleSession } from '../session-access.ts';
import { fittingSlice } from '../slices.ts';
import { checkTool, createToolBudget } from './definitions.ts';

export interface ToolsDeps extends ChangeDeps {
  registry: ToolRegistry;
  checker: SchemaChecker;
  sessionView: SessionView;
  once: Once;
}

interface Added {
  name: string;
  replaced: boolean;
}

function requireActive(tx: SessionTransaction): void {
  if (tx.session.status !== 'active')
    throw new ApiError('session_ended', 'The session has ended; its tools can no longer change');
}

const named = (tools: readonly StoredTool[], name: string): StoredTool | undefined =>
  tools.find((tool) => tool.name === name);

/** Replaces the tool of the same name in place, or appends the tool. */
const withTool = (tools: StoredTool[], tool: StoredTool): StoredTool[] =>
  named(tools, tool.name) ? tools.map((each) => (each.name === tool.name ? tool : each)) : [...tools, tool];

const without = (tools: StoredTool[], name: string): StoredTool[] =>
  tools.filter((tool) => tool.name !== name);

/** @returns the replaced tool, if any. */
function placeFor(tools: StoredTool[], { name }: CreateTool): StoredTool | undefined {
  const before = named(tools, name);
  if (before || tools.length < TOOLS_MAX) return before;
  throw new ApiError('invalid_request', `A session has at most ${TOOLS_MAX} tools; remove one first`, {
    param: 'name',
  });
}

/** @throws ApiError when the tools exceed a session's budget. */
function withinBudget(tools: StoredTool[]): StoredTool[] {
  const budget = createToolBudget();
  for (const tool of tools) budget.spend(tool);
  budget.check('');
  return tools;
}

/**
 * A position is the name of the last tool shown, and the number of tools added before it. The number locates the
 * position if the tool is removed before the next page.
 */
function restAfter(tools: StoredTool[], { order, after }: PageRequest): StoredTool[] {
  const ordered = order === 'asc' ? tools : tools.toReversed();
  if (!after) return ordered;
  const [name, older] = after as [string, number];
  const at = ordered.findIndex((tool) => tool.name === name);
  if (at >= 0) return ordered.slice(at + 1);
  return ordered.slice(order === 'asc' ? older : Math.max(0, ordered.length - older));
}

export function createTools(deps: ToolsDeps): ToolsService {
  const { sessions, registry, checker, sessionView, once } = deps;
  const view = createToolView(registry);

  async function all(caller: Caller, sessionId: string): Promise<StoredTool[]> {
    return toolsOf(await visibleSession(sessions, caller, sessionId));
  }

  async function one(caller: Caller, sessionId: string, name: string): Promise<Tool> {
    const tool = named(await all(caller, sessionId), name);
    if (!tool) throw notFound('tool');
    return view(tool);
  }

  function replace(tx: SessionTransaction, change: (tools: StoredTool[]) => StoredTool[]): void {
    const changed = (tools: string) => stringifyJson(change(toolsOf({ ...tx.session, tools })));
    tx.patch({
      ...changeHeldTools(tx.session, changed),
      tools: changed(tx.session.tools),
      updated_at: tx.now,
    });
    tx.append('session.updated', null, { session: sessionView(tx.session) });
  }

  async function list(caller: Caller, sessionId: string, page: PageRequest) {
    const tools = await all(caller, sessionId);
    const rest = restAfter(tools, page);
    const positionOf = (tool: StoredTool) => [tool.name, tools.indexOf(tool)];
    return fittingSlice(rest, page.limit, { positionOf, view });
  }

  async function add(
    caller: Caller,
    sessionId: string,
    entry: CreateTool,
    key: Idempotency | null,
  ): Promise<Written<{ tool: Tool; replaced: boolean }>> {
    const definition = await checkTool(entry, checker);
    return once(
      caller,
      key,
      async (keep: Keep<Added>) => {
        const { replaced } = await changeSession(deps, caller, sessionId, async (tx) => {
          requireActive(tx);
          const before = placeFor(toolsOf(tx.session), entry);
          await keep(tx.rows, { name: entry.name, replaced: before !== undefined });
          const tool = { ...definition, created_at: before?.created_at ?? tx.now };
          replace(tx, (tools) => withinBudget(withTool(tools, tool)));
          return { replaced: before !== undefined };
        });
        return { tool: await one(caller, sessionId, entry.name), replaced };
      },
      async ({ name, replaced: hadReplaced }) => ({
        tool: await one(caller, sessionId, name),
        replaced: hadReplaced,
      }),
    );
  }

  /** Open calls stay open, because the model made them before the removal. */
  const remove = (caller: Caller, sessionId: string, name: string, key: Idempotency | null) =>
    once(
      caller,
      key,
      async (keep: Keep<Resource>) => {
        await changeSession(deps, caller, sessionId, async (tx) => {
          requireActive(tx);
          if (!named(toolsOf(tx.session), name)) throw notFound('tool');
          await keep(tx.rows, { id: name });
          replace(tx, (tools) => without(tools, name));
        });
        return deleted(name);
      },
      async ({ id }) => deleted(id),
    );

  return { list, add, remove };
}
