// Sends events as server-sent events, so that even a reader that takes each read for whole events loses none.
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Request, Response } from 'express';
import type { StreamAnswer } from '../define-route.ts';
import { toFrame, toOpeningFrame } from './frame.ts';

/**
 * Proxies close what is silent for a minute (nginx, AWS); four comments fit in it. A client that has taken nothing since the
 * comment before is gone, or does not read: it is cut off, as a WebSocket is. Its events wait in the log, not in our memory.
 */
const COMMENT_EVERY_MS = 15_000;

/**
 * A client reads up to 64 KiB at once, and what it has not read by then it gets cut anywhere. Bursts (an answer
 * that is sent again) therefore go out at 2 MB/s: measured between two busy processes, one write per turn alone
 * lost 1 to 5 of 1,000 events, so paced none. A live answer never comes near it.
 */
const BURST_BYTES = 4 * 1024;
const BURST_PAUSE_MS = 2;

const HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  // nginx would otherwise collect events before it passes them on.
  'X-Accel-Buffering': 'no',
};

/** The headers go out at once, and to a HEAD nothing else: what the stream tells of is stored, and its first event may be long in coming. */
export async function sendEventStream(
  req: Request,
  res: Response,
  { events, headers, names, tailSeq }: StreamAnswer,
  signal: AbortSignal,
): Promise<void> {
  res
    .set({ ...headers, ...HEADERS })
    .status(200)
    .flushHeaders();
  if (req.method === 'HEAD') return void res.end();
  const writer = createFrameWriter(res);
  const { writeFrame } = writer;
  const looks = setInterval(writer.look, COMMENT_EVERY_MS);
  // What was sent last may wait for its reader after the stream has ended.
  res.once('close', () => clearInterval(looks));
  try {
    if (tailSeq !== undefined) await writeFrame(toOpeningFrame(tailSeq));
    for await (const event of untilAborted(events, signal)) {
      if (!isOpen(res)) break;
      await writeFrame(toFrame(event, names));
    }
    res.end();
  } catch (error) {
    // Following ends by an abort when the client is gone or the server stops: nobody made a mistake.
    if (!signal.aborted) throw error;
    res.end();
  }
}

/** The next event, or null at once when the signal aborts: reading it may take long, while the store is away. */
function nextOf<T>(iterator: AsyncIterator<T>, signal: AbortSignal): Promise<IteratorResult<T> | null> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(null);
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop);
    iterator
      .next()
      .finally(() => signal.removeEventListener('abort', stop))
      .then(resolve, reject);
  });
}

async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await nextOf(iterator, signal);
      if (!next || next.done) return;
      yield next.value;
    }
  } finally {
    // Not waited for: it ends when what it is reading has come.
    iterator.return?.().catch(() => undefined);
  }
}

const isOpen = (res: Response): boolean => !res.destroyed && !res.writableEnded;

function createFrameWriter(res: Response) {
  let sentBytes = 0;
  /** Writes that the client's connection has taken. */
  let taken = 0;
  let takenBefore = -1;
  const write = (text: string): boolean =>
    res.write(text, () => {
      taken += 1;
    });
  return {
    /** One write per event, and a turn of the event loop after it, keep two events out of one packet. */
    async writeFrame(frame: string): Promise<void> {
      if (!write(frame)) await drained(res);
      sentBytes += frame.length;
      if (sentBytes < BURST_BYTES) return nextTurn();
      sentBytes = 0;
      await pause(BURST_PAUSE_MS);
    },
    /** Keeps the connection open while nothing else is sent, and ends it when nothing of what was sent is taken. */
    look(): void {
      if (res.writableLength > 0 && taken === takenBefore) res.destroy();
      takenBefore = taken;
      if (isOpen(res) && res.writableLength === 0) write(': \n\n');
    },
  };
}

function drained(res: Response): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      res.off('drain', done).off('close', done);
      resolve();
    };
    res.on('drain', done).on('close', done);
    if (res.destroyed) done();
  });
}
