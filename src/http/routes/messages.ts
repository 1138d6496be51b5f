// Messages: one POST is one turn. The response comes at the end of the turn, as a stream, or later.
import { pageOf } from '../../contracts/common.ts';
import { ApiError } from '../../contracts/errors.ts';
import {
  type CreateMessage,
  CreateMessage as CreateMessageShape,
  isTerminal,
  Message,
} from '../../contracts/messages.ts';
import type { AcceptedMessage, Caller, MessagesService } from '../../services/ports.ts';
import { defineRoute, type JsonAnswer, json, type Route, stream } from '../define-route.ts';
import { CREATE_MESSAGE, MESSAGE } from '../examples.ts';
import { replayHeaders } from '../idempotency.ts';
import { ListQuery, StreamQuery } from '../query-types.ts';
import type { RouteDeps } from './deps.ts';

const tag = 'Messages';

const createMessage = ({ services: { messages } }: RouteDeps) =>
  defineRoute({
    method: 'post',
    path: '/v1/sessions/:sessionId/messages',
    level: 'standard',
    clientScope: 'send',
    operationId: 'createMessage',
    summary: 'Send a message and get its answer',
    description:
      'Answers at the end of the turn. With `stream: true` the events of the answer are streamed; with ' +
      '`background: true` or `Prefer: respond-async` the answer is read later at `Location`, and a retry with the same ' +
      '`Idempotency-Key` is answered with 200 once the turn has ended. While the session is busy, `on_busy` decides: ' +
      '`queue` waits, `reject` answers 409, `interrupt` ends the running turn first, `steer` ends it when its current ' +
      'step is complete. Messages that wait already are answered before this one.',
    tag,
    query: StreamQuery,
    body: CreateMessageShape,
    response: Message,
    status: 200,
    otherStatuses: { 202: 'Accepted and not finished: read the message at `Location`' },
    errors: ['not_found', 'session_ended', 'session_busy', 'queue_full', 'unavailable'],
    streams: true,
    examples: { request: CREATE_MESSAGE, response: MESSAGE },
    async handler({ caller, params, query, body, prefer, idempotency, signal, holdOpen }) {
      const mode = modeOf(body, prefer);
      if (mode !== 'background') holdOpen();
      const { value: accepted, replayed } = await messages.accept(
        caller,
        params.sessionId,
        body,
        idempotency,
      );
      const headers = replayHeaders(replayed);
      const located = { ...headers, Location: locationOf(accepted) };
      const later = (message: Message) => json(message, { status: 202, headers: located });
      const waiting = mode === 'sync' ? undefined : await messages.behindWaitingTurn(accepted);
      if (waiting) return later(waiting);
      // A stopping server begins no stream. A stream that has begun has already sent `Location`.
      if (mode === 'stream' && !signal.aborted)
        return stream(messages.followReply(accepted, signal), { headers: located, ...query });
      if (mode === 'sync') return endOr(later, await awaitReply(messages, caller, accepted, signal), headers);
      const message = await readReply(messages, caller, accepted);
      return mode === 'background' && endedBeforeRetry(message, replayed)
        ? json(message, { headers: located })
        : later(message);
    },
  });

type Mode = 'sync' | 'stream' | 'background';

function modeOf({ stream, background }: CreateMessage, prefer: string): Mode {
  const wantsAsync = /(^|,)\s*respond-async\s*(;|,|$)/i.test(prefer);
  if (stream && wantsAsync) {
    const message = "The 'stream' field can't be combined with 'Prefer: respond-async'";
    throw new ApiError('invalid_request', message, { param: 'stream' });
  }
  if (stream) return 'stream';
  return background || wantsAsync ? 'background' : 'sync';
}

/** The first attempt gets 202, however soon its turn ends. A retry gets 200 once the turn has ended. */
const endedBeforeRetry = (message: Message, replayed: boolean): boolean =>
  replayed && isTerminal(message.status);

type LaterAnswer = (message: Message) => JsonAnswer<Message>;

const endOr = (
  later: LaterAnswer,
  { message, settled }: { message: Message; settled: boolean },
  headers: Record<string, string>,
): JsonAnswer<Message> => (settled ? json(message, { headers }) : later(message));

const readReply = (messages: MessagesService, caller: Caller, { sessionId, replyId }: AcceptedMessage) =>
  messages.get(caller, sessionId, replyId);

const locationOf = ({ sessionId, replyId }: AcceptedMessage): string =>
  `/v1/sessions/${sessionId}/messages/${replyId}`;

/** If the server is stopping, a waiting call gets 202 with `Location`. The message is stored and will be answered. */
async function awaitReply(
  messages: MessagesService,
  caller: Caller,
  accepted: AcceptedMessage,
  signal: AbortSignal,
): Promise<{ message: Message; settled: boolean }> {
  try {
    return await messages.waitForReply(accepted, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    return { message: await readReply(messages, caller, accepted), settled: false };
  }
}

const listMessages = ({ services: { messages }, openPage }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId/messages',
    level: 'read-only',
    clientScope: 'read',
    operationId: 'listMessages',
    summary: 'List the messages of a session, oldest first',
    description: 'A page of long messages has fewer than `limit`: 4 MiB of them at most, or one.',
    tag,
    query: ListQuery,
    response: pageOf(Message),
    status: 200,
    errors: ['not_found'],
    async handler(call) {
      const page = openPage(call, 'asc');
      return json(page.answer(await messages.list(call.caller, call.params.sessionId, page.request)));
    },
  });

const getMessage = ({ services: { messages } }: RouteDeps) =>
  defineRoute({
    method: 'get',
    path: '/v1/sessions/:sessionId/messages/:messageId',
    level: 'read-only',
    clientScope: 'read',
    operationId: 'getMessage',
    summary: 'Read a message',
    description:
      'Shows all that the message says, whatever its length. Its tool calls get what is left of 4 MiB, at least 1 MiB: ' +
      'beyond that the oldest results, and then the oldest parameters, are null.',
    tag,
    response: Message,
    status: 200,
    errors: ['not_found'],
    etag: true,
    examples: { response: MESSAGE },
    handler: async ({ caller, params }) =>
      json(await messages.get(caller, params.sessionId, params.messageId)),
  });

export const messageRoutes = (deps: RouteDeps): Route[] => [
  createMessage(deps),
  listMessages(deps),
  getMessage(deps),
];
