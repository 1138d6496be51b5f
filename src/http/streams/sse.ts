// Sends events as server-sent events, so that even a reader that takes each read for whole events loses none.
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Request, Response } from 'express';
import type { StreamAnswer } from '../define-route.ts';
import { toFrame, toOpeningFrame } from './frame.ts';

/** Proxies close what is silent for a minute (nginx, AWS); four comments fit in it. */
const COMMENT_EVERY_MS = 15_000;
/**
 * A client that takes nothing for so long is gone; its events wait in the log, not in our memory. Node waits twice as long
 * when the first time began with some progress, so that its socket is closed within a minute.
 */
const STALLED_MS_MAX = 25_000;

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
  res.setTimeout(STALLED_MS_MAX, () => res.destroy());
  const comments = setInterval(() => writeComment(res), COMMENT_EVERY_MS);
  const writeFrame = createFrameWriter(res);
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
  } finally {
    clearInterval(comments);
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

/** Who has not taken all that was sent gets no comment: each write would make the connection look alive. */
function writeComment(res: Response): void {
  if (isOpen(res) && res.writableLength === 0) res.write(': \n\n');
}

/** One write per event, and a turn of the event loop after it, keep two events out of one packet. */
function createFrameWriter(res: Response): (frame: string) => Promise<void> {
  let sentBytes = 0;
  return async (frame) => {
    if (!res.write(frame)) await drained(res);
    sentBytes += frame.length;
    if (sentBytes < BURST_BYTES) return nextTurn();
    sentBytes = 0;
    await pause(BURST_PAUSE_MS);
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
