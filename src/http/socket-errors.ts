// Answers requests that Node's parser refuses, in the usual envelope. They never reach Express.
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError } from '../contracts/errors.ts';
import { newId } from '../ids.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';

interface Refusal {
  status: number;
  reason: string;
  message: string;
}

const REFUSALS: Record<string, Refusal> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    reason: 'Request Header Fields Too Large',
    message: "The request's headers are larger than 16 KiB",
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    reason: 'Request Timeout',
    message: 'The request did not arrive in time',
  },
};

/** For the documentation: statuses outside the routes. */
export const REFUSED_AT_THE_SOCKET: readonly Refusal[] = Object.values(REFUSALS);

const MALFORMED: Refusal = {
  status: 400,
  reason: 'Bad Request',
  message: 'The request is not well-formed HTTP',
};

const CONNECT: Refusal = {
  status: 400,
  reason: 'Bad Request',
  message: 'CONNECT is not allowed: this server is no proxy',
};

/** Node would close the connection of a CONNECT silently. */
export const refuseConnect = (socket: Duplex): void => void socket.end(rawAnswer(CONNECT));

/** The response in progress on this socket, if any. Node keeps it in this private field. */
export const answerOn = (socket: Duplex): ServerResponse | null =>
  (socket as Duplex & { _httpMessage?: ServerResponse | null })._httpMessage ?? null;

export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const answer = answerOn(socket);
  // The bad bytes follow a complete request. The refusal waits until the response to that request is out.
  if (answer?.req.complete) return void answer.once('close', () => answerClientError(error, socket));
  // Part of a response is already out, and a second response would corrupt it.
  if (answer?.headersSent) return void socket.destroy();
  socket.end(rawAnswer(REFUSALS[error.code ?? ''] ?? MALFORMED));
}

function rawAnswer({ status, reason, message }: Refusal): string {
  const body = JSON.stringify(new ApiError('invalid_request', message).body());
  return [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `${REQUEST_ID_HEADER}: ${newId('req')}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
