// A session's tools, the model's calls to them, and the results that clients submit.
import { z } from 'zod';
import { Deleted, pageOf } from '../../contracts/common.ts';
import { ApiError } from '../../contracts/errors.ts';
import { Message, ShownMessage } from '../../contracts/messages.ts';
import {
  CreateTool,
  ShownToolCall,
  SubmitToolResults,
  type SubmitToolResults as Submitted,
  TOOL_CALL_STATUSES,
  Tool,
  ToolCall,
} from '../../contracts/tools.ts';
import type { ToolCallFilter } from '../../services/ports.ts';
import { defineRoute, json, type Route, stream } from '../define-route.ts';
import { CREATE_TOOL, SUBMIT_TOOL_RESULT } from '../examples.ts';
import { replayHeaders, written } from '../idempotency.ts';
import { commaList, ListQuery, pageParameters, StreamQuery } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const tag = 'Tools';

const listTools = ({ services: { tools }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId/tools',
    level: 'read-only',
    operationId: 'listTools',
    summary: 'List the tools of a session, in the order given',
    tag,
    query: ListQuery,
    response: pageOf(Tool),
    status: 200,
    errors: ['not_found'],
    async handler(call) {
      const page = openPage(call, 'asc');
      return json(page.answer(await tools.list(call.caller, call.params.sessionId, page.request)));
    },
  });

const createTool = ({ services: { tools } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/sessions/:sessionId/tools',
    level: 'standard',
    operationId: 'createTool',
    summary: "Add a tool to a session, or replace the one of its name; the model's next call knows it",
    tag,
    body: CreateTool,
    response: Tool,
    status: 201,
    otherStatuses: { 200: 'Replaced the tool of this name' },
    errors: ['not_found', 'session_ended', 'unavailable'],
    examples: { request: CREATE_TOOL },
    async handler({ caller, params, body, idempotency }) {
      const { value, replayed } = await tools.add(caller, params.sessionId, body, idempotency);
      return json(value.tool, { status: value.replaced ? 200 : 201, headers: replayHeaders(replayed) });
    },
  });

const deleteTool = ({ services: { tools } }: RouteDeps) =>
  defineRoute({
    method: 'delete',
    path: '/v1/sessions/:sessionId/tools/:name',
    level: 'standard',
    operationId: 'deleteTool',
    summary: 'Remove a tool from a session; calls that are open stay open',
    tag,
    response: Deleted,
    status: 200,
    errors: ['not_found', 'session_ended', 'unavailable'],
    handler: async ({ caller, params, idempotency }) =>
      written(await tools.remove(caller, params.sessionId, params.name, idempotency)),
  });

const SubmittedResults = z
  .object({
    tool_call: ShownToolCall,
    tool_calls: z.array(ShownToolCall),
    pending: z.array(z.string()),
    message: ShownMessage,
    truncated: z.literal(true).optional().meta({
      description:
        'The answer holds at most 4 MiB. Long fields are null: those of `message`, and beyond that the oldest results. The calls are whole at `url`',
    }),
    url: z.string().optional(),
  })
  .meta({ id: 'SubmittedToolResults' });

const submitToolResults = ({ services: { toolCalls, messages } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/sessions/:sessionId/tool-results',
    level: 'standard',
    clientScope: 'tool_results',
    operationId: 'submitToolResults',
    summary: 'Submit what your own tools have said',
    description:
      'One result, or several in `results` that are taken all or not at all. With `wait: true` the answer is the message when ' +
      'its turn is over or needs more results; with `stream: true` the events of the answer are streamed.',
    tag,
    query: StreamQuery,
    body: SubmitToolResults,
    response: z.union([SubmittedResults, Message]),
    status: 200,
    otherStatuses: { 202: 'Taken, and the turn is not over yet' },
    errors: ['not_found', 'session_ended', 'tool_call_closed', 'unavailable'],
    streams: true,
    examples: { request: SUBMIT_TOOL_RESULT },
    async handler({ caller, params, query, body, idempotency, signal, holdOpen }) {
      refuseBoth(body);
      if (body.wait || body.stream) holdOpen();
      const { value, replayed } = await toolCalls.submit(caller, params.sessionId, body, idempotency);
      const headers = replayHeaders(replayed);
      const { reply, ...submitted } = value;
      if (body.stream && !signal.aborted)
        return stream(messages.followReply(reply, signal), { headers, ...query });
      if (!body.wait) return json(submitted, { headers });
      const { message, settled } = await messages.waitForReply(reply, signal);
      return json(message, { status: settled ? 200 : 202, headers });
    },
  });

function refuseBoth({ wait, stream }: Submitted): void {
  if (wait && stream)
    throw new ApiError('invalid_request', "The 'stream' field can't be combined with 'wait'", {
      param: 'stream',
    });
}

const ListToolCallsQuery = z.strictObject({
  ...pageParameters,
  status: commaList(TOOL_CALL_STATUSES).optional(),
  name: z.string().min(1).max(200).optional(),
});

const filterOf = ({ status, name }: z.output<typeof ListToolCallsQuery>): ToolCallFilter => ({
  ...(status && { status }),
  ...(name !== undefined && { name }),
});

const LONG_CALLS = 'A page of long calls has fewer than `limit`: 4 MiB of them at most, or one.';

const listSessionToolCalls = ({ services: { toolCalls }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId/tool-calls',
    level: 'read-only',
    operationId: 'listSessionToolCalls',
    summary: 'List the tool calls of a session, newest first',
    description: LONG_CALLS,
    tag,
    query: ListToolCallsQuery,
    response: pageOf(ToolCall),
    status: 200,
    errors: ['not_found'],
    async handler(call) {
      const page = openPage(call, 'desc');
      const filter = { ...filterOf(call.query), sessionId: call.params.sessionId };
      return json(page.answer(await toolCalls.list(call.caller, filter, page.request)));
    },
  });

const listToolCalls = ({ services: { toolCalls }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/tool-calls',
    level: 'read-only',
    operationId: 'listToolCalls',
    summary: 'List the tool calls of all sessions, newest first',
    description: LONG_CALLS,
    tag,
    query: ListToolCallsQuery,
    response: pageOf(ToolCall),
    status: 200,
    errors: [],
    async handler(call) {
      const page = openPage(call, 'desc');
      return json(page.answer(await toolCalls.list(call.caller, filterOf(call.query), page.request)));
    },
  });

export const toolRoutes = (deps: RouteDeps): Route[] => [
  listTools(deps),
  createTool(deps),
  deleteTool(deps),
  submitToolResults(deps),
  listSessionToolCalls(deps),
  listToolCalls(deps),
];
