// The life of a WebSocket: sending, receiving, checking the peer, and closing.
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
 * Proxies close connections after a minute of silence (nginx, AWS). A peer that is silent until the second check has disconnected or
 * reads nothing. The server closes its connection after 24 s, and cuts it 10 s later if the peer doesn't answer the close.
 */
const PING_EVERY_MS = 12_000;

/** Time for a client to answer the close of a stopping server. */
const STOP_MS_MAX = 3_000;

export interface ConnectionDeps {
  services: Services;
  count: CountCall;
  log: Logger;
}

export interface Connection {
  caller: Caller;
  /** The id of the upgrade request. */
  requestId: string;
  /** The session of the path, followed from the client's cursor. */
  first: Followed;
  names: EventNames;
  /** Aborts when the connection closes or the server stops. Also aborts when the key ends, with the refusal as its reason. */
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
  // A client's protocol violations close its connection with the right code and are no server error.
  socket.on('error', (error) => deps.log.debug({ err: error, request_id: requestId }, 'a WebSocket failed'));
  const answer = createAnswerFrames({ ...deps, caller, sessionId, requestId, outbox, subscriptions });
  await outbox.send(openingFrame(sessionId, first.tailSeq));
  subscriptions.begin(first);
  readFrames(socket, answer, hasBegun);
}

type End = (code: number, reason: string) => void;

/** Closes from this side. No more frames are answered then: the key may have ended, and the client wouldn't see the answer. */
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

/** The library buffers up to 1 MiB of a message until its last piece arrives, without exposing this state. */
function holdsPartOfMessage(socket: WebSocket): boolean {
  const { _receiver: receiver } = socket as unknown as {
    _receiver?: { _bufferedBytes: number; _fragments: unknown[] };
  };
  return receiver !== undefined && (receiver._bufferedBytes > 0 || receiver._fragments.length > 0);
}

/** While we don't read from a peer, its silence proves nothing. But if the peer read our data, we would resume reading. */
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
