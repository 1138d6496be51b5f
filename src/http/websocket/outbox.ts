// What goes out over one WebSocket: as fast as its client takes it, and never more than a little of it in memory.
import { WebSocket } from 'ws';
import { stringifyJson } from '../../contracts/json.ts';

/** Beyond it the next frame waits; what it was made from waits in the log. One frame may itself be larger. */
const BUFFERED_BYTES_MAX = 64 * 1024;

export interface Outbox {
  /** Resolves when the frame is handed over, and at once when the connection is closed: then it is dropped. */
  send(frame: object): Promise<void>;
}

export function createOutbox(socket: WebSocket): Outbox {
  const waiting = new Set<() => void>();
  const isOpen = () => socket.readyState === WebSocket.OPEN;
  function wake(): void {
    const woken = [...waiting];
    waiting.clear();
    for (const resume of woken) resume();
  }
  socket.once('close', wake);
  return {
    async send(frame) {
      while (isOpen() && socket.bufferedAmount > BUFFERED_BYTES_MAX)
        await new Promise<void>((resolve) => waiting.add(resolve));
      if (isOpen()) socket.send(stringifyJson(frame), wake);
    },
  };
}
