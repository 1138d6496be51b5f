// Receives the frames of a WebSocket and answers them one by one. The connection isn't read during an answer.
import { setTimeout as pause } from 'node:timers/promises';
import type { RawData, WebSocket } from 'ws';

/** Limit for a connection, whatever its frames ask for. People and programs need a few. */
export const FRAMES_PER_SECOND_MAX = 100;
const SECOND_MS = 1_000;

export interface ReceivedFrame {
  bytes: Buffer;
  isBinary: boolean;
  /** The frame exceeds the connection's limit. */
  isTooMuch: boolean;
}

/**
 * Answers every frame that a client sent before its own close.
 * @param answer Never rejects.
 * @param isOver True once this side has ended the connection. No more frames are answered then.
 */
export function readFrames(
  socket: WebSocket,
  answer: (frame: ReceivedFrame) => Promise<void>,
  isOver: () => boolean,
): void {
  // Bounded by one read of the connection, which stays paused until all frames are answered.
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
    /** @returns the number of frames in this second, including this frame. */
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
