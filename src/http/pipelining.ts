// Begins the requests of a connection one after the other. Node passes on all requests of a read at once and would keep all
// their responses in memory. 64 kB of requests for the OpenAPI document became 576 MB.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests that wait behind the current request. Clients that pipeline send a few. */
const WAITING_MAX = 100;

/** A closed connection drops its waiting requests. */
export function inTurn(answer: RequestListener): RequestListener {
  const waiting = new WeakMap<Socket, [IncomingMessage, ServerResponse][]>();

  function begin(req: IncomingMessage, res: ServerResponse): void {
    const { socket } = req;
    res.once('close', () => {
      const next = waiting.get(socket)?.shift();
      if (next && !socket.destroyed) begin(...next);
      else waiting.delete(socket);
    });
    answer(req, res);
  }

  return (req, res) => {
    const { socket } = req;
    const queue = waiting.get(socket);
    if (!queue) {
      waiting.set(socket, []);
      begin(req, res);
    } else if (queue.push([req, res]) > WAITING_MAX) socket.destroy();
  };
}
