// Carries out and acknowledges a client's frames. Each frame is checked and counted like the corresponding REST call.
import type { Logger } from 'pino';
import { ApiError } from '../../contracts/errors.ts';
import type { FrameType, ServerFrame } from '../../contracts/frames.ts';
import type { Caller, Services } from '../../services/ports.ts';
import { requireGranted, requirePermission } from '../authenticate.ts';
import type { Access } from '../define-route.ts';
import { internalError } from '../errors.ts';
import { type CountCall, countCaller, refuseExceeded } from '../rate-limit.ts';
import { FRAMES_PER_SECOND_MAX, type ReceivedFrame } from './inbox.ts';
import type { Outbox } from './outbox.ts';
import { type ClientFrame, readEnvelope, readFields, readObject, requestIdOf } from './read-frame.ts';
import { followSession, type Subscriptions } from './subscriptions.ts';

/** The same as for the corresponding REST calls. */
const ACCESS: Record<FrameType, Access> = {
  message: { level: 'standard', clientScope: 'send' },
  tool_result: { level: 'standard', clientScope: 'tool_results' },
  tool_decision: { level: 'standard', clientScope: 'tool_results' },
  interrupt: { level: 'standard', clientScope: 'send' },
  ping: { level: 'read-only', clientScope: 'read' },
  subscribe: { level: 'read-only', clientScope: 'read' },
  unsubscribe: { level: 'read-only', clientScope: 'read' },
};

interface AnswerDeps {
  services: Services;
  count: CountCall;
  log: Logger;
  caller: Caller;
  /** The session of the connection's path. */
  sessionId: string;
  requestId: string;
  outbox: Outbox;
  subscriptions: Subscriptions;
}

/** @returns a function that answers a frame and never rejects. */
export function createAnswerFrames(deps: AnswerDeps) {
  const { services, count, log, caller, outbox, subscriptions } = deps;

  async function subscribe(sessionId: string, after: number | null, ack: ServerFrame): Promise<void> {
    subscriptions.requireRoomFor(sessionId);
    const followed = await followSession(services.events, caller, sessionId, after);
    await outbox.send(ack);
    await outbox.send(openingFrame(sessionId, followed.tailSeq));
    subscriptions.begin(followed);
  }

  /** @param given The session named by the frame. */
  async function act(frame: ClientFrame, given: string | null, requestId: string | null): Promise<void> {
    const sessionId = given ?? deps.sessionId;
    const ack = (messageId: string | null = null) => ackFrame(requestId, messageId);
    switch (frame.type) {
      case 'ping':
        return outbox.send({ type: 'pong', request_id: requestId } satisfies ServerFrame);
      case 'message': {
        const { value } = await services.messages.accept(caller, sessionId, frame.body, null);
        return outbox.send(ack(value.replyId));
      }
      case 'tool_result': {
        const { value } = await services.toolCalls.submit(caller, sessionId, frame.body, null);
        return outbox.send(ack(value.reply.replyId));
      }
      case 'interrupt': {
        const { value } = await services.sessions.interrupt(caller, sessionId, null);
        return outbox.send(ack(value.message?.id));
      }
      case 'subscribe':
        return subscribe(required(given), frame.body.after ?? null, ack());
      case 'unsubscribe':
        await subscriptions.end(required(given));
        return outbox.send(ack());
      case 'tool_decision':
        throw new ApiError(
          'invalid_request',
          "No tool of this version asks for a decision: 'tool_decision' is not taken",
          {
            param: 'type',
          },
        );
    }
  }

  /** Pings keep connections open and may be many, so only their number per second is bounded. */
  async function countFrame(type: unknown): Promise<void> {
    if (type !== 'ping') refuseExceeded(await countCaller(count, caller));
  }

  async function take(value: Record<string, unknown>, requestId: string | null): Promise<void> {
    const envelope = readEnvelope(value);
    requirePermission(caller, ACCESS[envelope.type]);
    const frame = readFields(envelope);
    requireGranted(caller, envelope.sessionId ?? deps.sessionId);
    await act(frame, envelope.sessionId, requestId);
  }

  function errorOf(thrown: unknown): ApiError {
    if (thrown instanceof ApiError) return thrown;
    log.error({ err: thrown, request_id: deps.requestId }, 'a frame failed');
    return internalError();
  }

  return async (received: ReceivedFrame): Promise<void> => {
    const { value = {}, fault } = tried(() => readObject(received));
    const requestId = requestIdOf(value);
    try {
      if (received.isTooMuch) throw tooManyFrames();
      await countFrame(value.type);
      if (fault) throw fault;
      await take(value, requestId);
    } catch (thrown) {
      await outbox.send(errorFrame(errorOf(thrown), requestId));
    }
  };
}

export const openingFrame = (sessionId: string, tailSeq: number): ServerFrame => ({
  type: 'stream.opened',
  session_id: sessionId,
  tail_seq: tailSeq,
});

export const errorFrame = ({ message, code }: ApiError, requestId: string | null): ServerFrame => ({
  type: 'error',
  message,
  code,
  request_id: requestId,
});

const ackFrame = (requestId: string | null, messageId: string | null): ServerFrame => ({
  type: 'ack',
  request_id: requestId,
  message_id: messageId,
});

const tooManyFrames = () =>
  new ApiError(
    'rate_limited',
    `More than ${FRAMES_PER_SECOND_MAX} frames in a second; the next is read in a second`,
  );

/** A connection may follow several sessions, so the frame must name its session. */
function required(sessionId: string | null): string {
  if (sessionId !== null) return sessionId;
  throw new ApiError('invalid_request', "The 'session_id' field is required", { param: 'session_id' });
}

function tried<T>(work: () => T): { value?: T; fault?: unknown } {
  try {
    return { value: work() };
  } catch (fault) {
    return { fault };
  }
}
