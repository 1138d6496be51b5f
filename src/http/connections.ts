// Knows which connections are answering a request, so that a stopping server lets go of all others at once.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

export interface Connections {
  /** Closes what is idle now, and everything else as soon as its answer is out. */
  release(): void;
  /** Cuts off whatever is left. */
  destroy(): void;
}

/** Node's own `closeIdleConnections` leaves a connection open that never sent a request: clients keep such in stock. */
export function trackConnections(server: Server): Connections {
  const open = new Set<Socket>();
  const answering = new Set<Socket>();
  let isReleasing = false;
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  server.on('request', ({ socket }, res) => {
    answering.add(socket);
    res.once('close', () => {
      answering.delete(socket);
      if (isReleasing) socket.destroySoon();
    });
  });
  return {
    release() {
      isReleasing = true;
      for (const socket of open) if (!answering.has(socket)) socket.destroySoon();
    },
    destroy() {
      for (const socket of open) socket.destroy();
    },
  };
}
