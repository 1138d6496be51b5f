// Tool calls: listed for a session or for the account, and given results by the client.
import type { Kysely } from 'kysely';
import { countFitting } from '../../stores/page-bytes.ts';
import type { Tables } from '../../stores/schema.ts';
import { createToolCallRows, type ToolCallOutline } from '../../stores/tool-call-rows.ts';
import { toolCallView } from '../../views/tool-calls.ts';
import type { Caller, PageRequest, Position, ToolCallFilter, ToolCallsService } from '../ports.ts';
import { visibleSession } from '../session-access.ts';
import { byCreation, sliceOf } from '../slices.ts';
import { createSubmit, type SubmitDeps } from './submit.ts';

export interface ToolCallsDeps extends SubmitDeps {
  db: Kysely<Tables>;
}

/** The calls of one reply step have the same creation time. */
const positionOf = ({ created_at, step, position, id }: ToolCallOutline): Position => [
  ...[created_at, step, position],
  id,
];
const TIES = 2;

export function createToolCalls(deps: ToolCallsDeps): ToolCallsService {
  const rows = createToolCallRows(deps.db);

  async function list(caller: Caller, filter: ToolCallFilter, page: PageRequest) {
    const { sessionId } = filter;
    if (sessionId !== undefined) await visibleSession(deps.sessions, caller, sessionId);
    const keyset = byCreation(page, TIES);
    const found = await rows.listToolCalls({ accountId: caller.accountId, ...filter, ...keyset });
    const fitting = countFitting(found.slice(0, page.limit).map(({ bytes }) => bytes));
    const { data, next } = sliceOf(found, fitting, positionOf);
    return { data: (await rows.wholeToolCalls(data)).map(toolCallView), next };
  }

  return { list, submit: createSubmit(deps) };
}
