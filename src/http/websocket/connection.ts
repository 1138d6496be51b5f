// The life of one WebSocket: what goes out, what comes in, whether its peer is still there, and how it ends.
import type { Logger } from 'pino';
import { WebSocket } from 'ws';
import { ApiError, notFound } from '../../contracts/errors.ts';
import { eventBodyNamed } from '../../contracts/event-body.ts';
import type { EventNames } from '../../contracts/events.ts';
import { CLOSE_CODES } from '../../contracts/frames.ts';
import type { Caller, Services } from '../../services/ports.ts';
import type { CountCall } from '../rate-limit.ts';
import { createAnswerFrames, errorFrame, openingFrame } from './answer-frames.ts';
import { readFrames } from './inbox.ts';
import { createOutbox } from './outbox.ts';
import { createSubscriptions, type Followed } from './subscriptions.ts';

/**
 * Proxies close what is silent for a minute (nginx, AWS). A peer from which nothing has come at the second look is gone, or
 * takes nothing: it is let go after 24 s, and cut off 10 s later if it does not answer the close.
 */
const PING_EVERY_MS = 12_000;

/** What a stopping server leaves a client to answer its close. */
const STOP_MS_MAX = 3_000;

export interface ConnectionDeps {
  services: Services;
  count: CountCall;
  log: Logger;
}

export interface Connection {
  caller: Caller;
  /** Of the request that became this connection. */
  requestId: string;
  /** The session of the path, followed from where the client wants. */
  first: Followed;
  names: EventNames;
  /** Aborts when the connection is closed, the server stops, or the key has ended: then with its refusal. */
  signal: AbortSignal;
}

export async function serveConnection(
  socket: WebSocket,
  deps: ConnectionDeps,
  connection: Connection,
): Promise<void> {
  const { caller, requestId, first, names, signal } = connection;
  const { sessionId } = first;
  const outbox = createOutbox(socket);
  const { end, hasBegun } = createEnd(socket);
  const subscriptions = createSubscriptions({
    signal,
    deliver: (event) => outbox.send(eventBodyNamed(event, names)),
    deleted(id) {
      if (id === sessionId) end(CLOSE_CODES.sessionDeleted, 'The session was deleted');
      else void outbox.send(errorFrame(notFound(`session: ${id} was deleted`), null));
    },
    failed(error) {
      deps.log.error({ err: error, request_id: requestId }, 'a followed session could not be read');
      end(CLOSE_CODES.internalError, 'The log could not be read; connect again with your cursor');
    },
  });
  endWith(signal, socket, end);
  keepAlive(socket, end);
  // What a client sends against the protocol ends its connection with the right code; nobody here is at fault.
  socket.on('error', (error) => deps.log.debug({ err: error, request_id: requestId }, 'a WebSocket failed'));
  const answer = createAnswerFrames({ ...deps, caller, sessionId, requestId, outbox, subscriptions });
  await outbox.send(openingFrame(sessionId, first.tailSeq));
  subscriptions.begin(first);
  readFrames(socket, answer, hasBegun);
}

type End = (code: number, reason: string) => void;

/** The end from this side. Once it has begun nothing more is answered: a key may have ended, and nobody would see the answer. */
function createEnd(socket: WebSocket): { end: End; hasBegun: () => boolean } {
  let begun = false;
  return {
    hasBegun: () => begun,
    end(code, reason) {
      if (socket.readyState !== WebSocket.OPEN) return;
      begun = true;
      socket.close(code, reason);
    },
  };
}

function stop(socket: WebSocket, end: End): void {
  end(CLOSE_CODES.stopping, 'The server stops; connect again with your cursor');
  const cutOff = setTimeout(() => socket.terminate(), STOP_MS_MAX);
  socket.once('close', () => clearTimeout(cutOff));
}

function endWith(signal: AbortSignal, socket: WebSocket, end: End): void {
  const ended = () => {
    const { reason } = signal;
    if (reason instanceof ApiError) end(CLOSE_CODES.keyEnded, reason.message);
    else if (socket.readyState !== WebSocket.CLOSED) stop(socket, end);
  };
  if (signal.aborted) ended();
  else signal.addEventListener('abort', ended);
}

/** The library keeps up to 1 MiB of a message until its last piece comes, and does not say so. */
function holdsPartOfMessage(socket: WebSocket): boolean {
  const { _receiver: receiver } = socket as unknown as {
    _receiver?: { _bufferedBytes: number; _fragments: unknown[] };
  };
  return receiver !== undefined && (receiver._bufferedBytes > 0 || receiver._fragments.length > 0);
}

/** Whom we do not read just now can't show that it is there; but if it took what we send, we would read on. */
function keepAlive(socket: WebSocket, end: End): void {
  let hasSpoken = true;
  let hasFinished = true;
  const look = () => {
    if (!hasSpoken && (!socket.isPaused || socket.bufferedAmount > 0))
      return end(CLOSE_CODES.tooSlow, 'You take nothing; connect again with your cursor');
    if (!hasFinished && !socket.isPaused)
      return end(CLOSE_CODES.tooSlow, 'The rest of your frame did not come; connect again with your cursor');
    hasSpoken = false;
    hasFinished = !holdsPartOfMessage(socket);
    socket.ping();
  };
  const looks = setInterval(look, PING_EVERY_MS);
  socket.on('pong', () => {
    hasSpoken = true;
  });
  socket.on('message', () => {
    hasSpoken = true;
    hasFinished = true;
  });
  socket.once('close', () => clearInterval(looks));
}
