// Calls of tools: listed for a session or for the account, and answered by the client.
import type { Kysely } from 'kysely';
import type { Tables } from '../../stores/schema.ts';
import { createToolCallRows } from '../../stores/tool-call-rows.ts';
import { toolCallView } from '../../views/tool-calls.ts';
import type { Caller, PageRequest, ToolCallFilter, ToolCallsService } from '../ports.ts';
import { visibleSession } from '../session-access.ts';
import { byCreation, creationOf, sliceOf } from '../slices.ts';
import { createSubmit, type SubmitDeps } from './submit.ts';

export interface ToolCallsDeps extends SubmitDeps {
  db: Kysely<Tables>;
}

export function createToolCalls(deps: ToolCallsDeps): ToolCallsService {
  const rows = createToolCallRows(deps.db);

  async function list(caller: Caller, filter: ToolCallFilter, page: PageRequest) {
    const { sessionId } = filter;
    if (sessionId !== undefined) await visibleSession(deps.sessions, caller, sessionId);
    const found = await rows.listToolCalls({ accountId: caller.accountId, ...filter, ...byCreation(page) });
    const { data, next } = sliceOf(found, page.limit, creationOf);
    return { data: data.map(toolCallView), next };
  }

  return { list, submit: createSubmit(deps) };
}
