// What comes in over one WebSocket: one frame after the other, and no further read while one is being answered.
import { setTimeout as pause } from 'node:timers/promises';
import type { RawData, WebSocket } from 'ws';

/** Of one connection, whatever they ask; people and programs need a few. */
export const FRAMES_PER_SECOND_MAX = 100;
const SECOND_MS = 1_000;

export interface ReceivedFrame {
  bytes: Buffer;
  isBinary: boolean;
  /** It came faster than a connection may send. */
  isTooMuch: boolean;
}

/**
 * What a client has sent before its own close is answered.
 * @param answer Never rejects.
 * @param isOver Whether this side has ended the connection: then nothing more is answered.
 */
export function readFrames(
  socket: WebSocket,
  answer: (frame: ReceivedFrame) => Promise<void>,
  isOver: () => boolean,
): void {
  // Bounded by what one read of the connection brings: it is paused until all of it is answered.
  const received: Omit<ReceivedFrame, 'isTooMuch'>[] = [];
  const second = createSecond();
  let isBusy = false;

  async function answerAll(): Promise<void> {
    for (let frame = received.shift(); frame && !isOver(); frame = received.shift())
      await answer({ ...frame, isTooMuch: second.count() > FRAMES_PER_SECOND_MAX });
    if (second.isUsedUp()) await pause(SECOND_MS);
  }

  async function work(): Promise<void> {
    if (isBusy) return;
    isBusy = true;
    socket.pause();
    while (received.length > 0 && !isOver()) await answerAll();
    isBusy = false;
    socket.resume();
  }

  socket.on('message', (data: RawData, isBinary) => {
    if (isOver()) return;
    received.push({ bytes: data as Buffer, isBinary });
    void work();
  });
}

function createSecond() {
  let beganAt = 0;
  let frames = 0;
  return {
    /** @returns frames of this second, this one included. */
    count(): number {
      const now = performance.now();
      if (now - beganAt >= SECOND_MS) {
        beganAt = now;
        frames = 0;
      }
      frames += 1;
      return frames;
    },
    isUsedUp: () => frames > FRAMES_PER_SECOND_MAX,
  };
}
