// The tools of a session: listed, added, replaced and removed; the model's next call is shown what they are then.
import { deleted } from '../../contracts/common.ts';
import { ApiError, notFound } from '../../contracts/errors.ts';
import { type CreateTool, TOOLS_MAX, type Tool } from '../../contracts/tools.ts';
import type { SessionTransaction } from '../../stores/log.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';
import type { ToolRegistry } from '../../tools/registry.ts';
import type { SessionView } from '../../views/sessions.ts';
import { createToolView, type StoredTool, storedTool, toolsOf } from '../../views/tools.ts';
import type { Once } from '../idempotency.ts';
import type { Caller, Idempotency, PageRequest, ToolsService, Written } from '../ports.ts';
import { type ChangeDeps, changeSession, visibleSession } from '../session-access.ts';
import { sliceOf } from '../slices.ts';
import { checkTool } from './definitions.ts';

export interface ToolsDeps extends ChangeDeps {
  registry: ToolRegistry;
  checker: SchemaChecker;
  sessionView: SessionView;
  once: Once;
}

/** What a retry is told of a tool that its first try has added; no name has this character. */
const NEW_MARK = '+';

function requireActive(tx: SessionTransaction): void {
  if (tx.session.status !== 'active')
    throw new ApiError('session_ended', 'The session has ended; its tools can no longer change');
}

/** The tools with this one: in the place of the one of its name, or at the end. */
function withTool(tx: SessionTransaction, entry: CreateTool): { tools: StoredTool[]; replaced: boolean } {
  const tools = toolsOf(tx.session);
  const at = tools.findIndex(({ name }) => name === entry.name);
  if (at < 0 && tools.length >= TOOLS_MAX)
    throw new ApiError('invalid_request', `A session has at most ${TOOLS_MAX} tools; remove one first`, {
      param: 'name',
    });
  const tool = storedTool(entry, tools[at]?.created_at ?? tx.now);
  return { tools: at < 0 ? [...tools, tool] : tools.with(at, tool), replaced: at >= 0 };
}

export function createTools(deps: ToolsDeps): ToolsService {
  const { sessions, registry, checker, sessionView, once } = deps;
  const view = createToolView(registry);

  async function all(caller: Caller, sessionId: string): Promise<StoredTool[]> {
    return toolsOf(await visibleSession(sessions, caller, sessionId));
  }

  async function one(caller: Caller, sessionId: string, name: string): Promise<Tool> {
    const tool = (await all(caller, sessionId)).find((each) => each.name === name);
    if (!tool) throw notFound('tool');
    return view(tool);
  }

  function replace(tx: SessionTransaction, tools: StoredTool[]): void {
    tx.patch({ tools: JSON.stringify(tools), updated_at: tx.now });
    tx.append('session.updated', null, { session: sessionView(tx.session) });
  }

  async function list(caller: Caller, sessionId: string, page: PageRequest) {
    const tools = await all(caller, sessionId);
    const ordered = page.order === 'asc' ? tools : tools.toReversed();
    const from = page.after ? ordered.findIndex(({ name }) => name === page.after?.[0]) + 1 : 0;
    const { data, next } = sliceOf(ordered.slice(from), page.limit, ({ name }) => [name]);
    return { data: data.map(view), next };
  }

  function add(
    caller: Caller,
    sessionId: string,
    entry: CreateTool,
    key: Idempotency | null,
  ): Promise<Written<{ tool: Tool; replaced: boolean }>> {
    checkTool(entry, '', checker);
    return once(
      caller,
      key,
      async (keep) => {
        const { replaced } = await changeSession(deps, caller, sessionId, async (tx) => {
          requireActive(tx);
          const { tools, replaced } = withTool(tx, entry);
          await keep(tx.rows, replaced ? entry.name : NEW_MARK + entry.name);
          replace(tx, tools);
          return { replaced };
        });
        return { tool: await one(caller, sessionId, entry.name), replaced };
      },
      async (kept) => ({
        tool: await one(caller, sessionId, kept.replace(NEW_MARK, '')),
        replaced: !kept.startsWith(NEW_MARK),
      }),
    );
  }

  /** Calls that are open already stay open: what answers them was asked before. */
  const remove = (caller: Caller, sessionId: string, name: string, key: Idempotency | null) =>
    once(
      caller,
      key,
      async (keep) => {
        await changeSession(deps, caller, sessionId, async (tx) => {
          requireActive(tx);
          const tools = toolsOf(tx.session);
          const rest = tools.filter((tool) => tool.name !== name);
          if (rest.length === tools.length) throw notFound('tool');
          await keep(tx.rows, name);
          replace(tx, rest);
        });
        return deleted(name);
      },
      async (removed) => deleted(removed),
    );

  return { list, add, remove };
}
