// Sends the frames of a WebSocket as fast as the client reads, with little in memory.
import { WebSocket } from 'ws';
import { stringifyJson } from '../../contracts/json.ts';

/** Above this size the next frame waits, and its event stays in the log. A single frame may be larger. */
const BUFFERED_BYTES_MAX = 64 * 1024;

export interface Outbox {
  /** Resolves when the frame is handed over. If the connection is closed, drops the frame and resolves at once. */
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
