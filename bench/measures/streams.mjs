// Measures live replies for their readers: the delay of each word, and the cost of idle and of unread WebSockets.
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuOf, usageOf } from '../processes.mjs';
import { quantile, summary } from '../statistics.mjs';
import { shared } from './sizes.mjs';

const WORD_MS = 50;
/** One extra client per this many sockets never reads. */
const DEAF_OF = 20;
/** The unread events of such a client: 26 kB each, together twice the size of Linux's buffers for a connection. */
const LOUD_EVENTS = 500;
const LOUD_METADATA = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`key ${n}`, 'x'.repeat(500)]));
/** A client reads nothing for this long, then checks that the server disconnected it, and reconnects. The server waits 34 s. */
const DEAF_MS = 40_000;
/** Clients that talk in the meantime. Each opens a new session every 50 turns, so a session's length plays no part. */
const SPEAKERS = 10;
const TURNS_OF_SESSION = 50;
/** The same clients first talk alone for at most this long, for comparison. */
const ALONE_MS = 45_000;

/** Records when the model sent each part of a reply, and when the reader received it. */
function watchWords(double) {
  const sent = new Map();
  const delays = [];
  double.settings.onWord = (question, length) => {
    const answer = sent.get(question) ?? { words: [], read: 0, next: 0 };
    answer.words.push({ length, at: performance.now() });
    sent.set(question, answer);
  };
  return {
    delays,
    read(question, text) {
      const answer = sent.get(question);
      answer.read += text.length;
      for (let word = answer.words[answer.next]; word && word.length <= answer.read; ) {
        delays.push(performance.now() - word.at);
        answer.next += 1;
        word = answer.words[answer.next];
      }
    },
  };
}

/** Milliseconds from the model's word to the reader's, with this many replies at once. */
export const words = (channel, streams) =>
  async function wordDelay({ system, double, counts }) {
    const { delays, read } = watchWords(double);
    const before = { ...double.settings };
    Object.assign(double.settings, { words: counts.words, wordMs: WORD_MS });
    try {
      const ids = [];
      await shared(streams, async () => ids.push(await system.create()));
      await Promise.all(
        ids.map(async (id) => {
          const question = `stream of ${id}`;
          // Spreads the starts over a word's time.
          await sleep(Math.random() * WORD_MS);
          await system[channel](id, question, (text) => read(question, text));
        }),
      );
    } finally {
      Object.assign(double.settings, before, { onWord: undefined });
    }
    const { min, p50, p95 } = summary(delays);
    return { min, p50, p95 };
  };

/** Clients send the next message after each reply, over a new WebSocket per turn. @returns the p99 of their turns. */
async function speak(system, durationMs) {
  const times = [];
  const end = performance.now() + durationMs;
  const speaker = async () => {
    let id;
    for (let turn = 0; turn === 0 || performance.now() < end; turn += 1) {
      if (turn % TURNS_OF_SESSION === 0) id = await system.create();
      const start = performance.now();
      await system.socketStream(id, 'a turn', () => undefined);
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: SPEAKERS }, speaker));
  return quantile(times, 0.99);
}

async function peakMemory(system, durationMs) {
  let peakMiB = memory(system);
  for (const end = performance.now() + durationMs; performance.now() < end; await sleep(1_000))
    peakMiB = Math.max(peakMiB, memory(system));
  return peakMiB;
}

async function makeLoud(system) {
  const id = await system.create();
  for (let count = 0; count < LOUD_EVENTS; count += 1) await system.update(id, { metadata: LOUD_METADATA });
  return id;
}

/** Opens WebSockets one after the other and never reads them. @returns the close code of each. */
async function hearNothing(system, loud, durationMs) {
  const end = performance.now() + durationMs;
  const codes = [];
  do {
    const socket = await system.connect(loud, '?after=0');
    socket.pause();
    await sleep(Math.min(DEAF_MS, durationMs));
    codes.push(await codeOf(socket));
  } while (performance.now() < end);
  return codes;
}

const memory = (system) => usageOf(system.roots()).memoryMiB;

async function idleCpu(system, ms) {
  const [before] = cpuOf(system.roots());
  await sleep(ms);
  const [after] = cpuOf(system.roots());
  return ((after - before) / ms) * 100;
}

/**
 * Measures memory with idle sockets and with clients that never read, while no one talks, because talking has its own
 * cost. Also measures the p99 of talking clients, without and with the others.
 */
export async function sockets({ system, counts }) {
  const loud = await makeLoud(system);
  const ids = [];
  await shared(counts.sockets, async () => ids.push(await system.create()));
  // The sessions' workflows are still starting.
  await sleep(counts.settleMs);
  const aloneP99 = await speak(system, Math.min(counts.deafMs, ALONE_MS));
  await sleep(counts.settleMs);
  const beforeMiB = memory(system);
  const cpuBefore = await idleCpu(system, counts.settleMs);
  const open = [];
  await shared(ids.length, async (index) => open.push(await system.connect(ids[index])));
  await sleep(counts.settleMs);
  const idleMiB = memory(system);
  const cpuIdle = await idleCpu(system, counts.settleMs);
  const quietMs = Math.min(counts.deafMs, DEAF_MS);
  const hearing = Promise.all(
    Array.from({ length: counts.sockets / DEAF_OF }, () =>
      hearNothing(system, loud, quietMs + counts.deafMs),
    ),
  );
  // The promise is awaited below, but may reject earlier.
  hearing.catch(() => undefined);
  const deafMiB = await peakMemory(system, quietMs);
  const withP99 = await speak(system, counts.deafMs);
  const codes = (await hearing).flat();
  for (const socket of open) socket.terminate();
  return {
    ...{ beforeMiB, idleMiB, deafMiB, cpuBefore, cpuIdle, aloneP99, withP99 },
    ...{ deaf: codes.length, letGo: codes.filter((code) => code !== 0).length },
  };
}

/** The close code, known once the socket reads again: 1013, or 1006 if the connection was cut. 0 if still open. */
function codeOf(socket) {
  return new Promise((resolve) => {
    socket.once('close', resolve);
    socket.resume();
    setTimeout(() => {
      resolve(0);
      socket.terminate();
    }, 5_000).unref();
  });
}
