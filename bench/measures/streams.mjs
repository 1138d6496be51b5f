// What readers of live answers see: how late each word is, and what WebSockets cost that nobody speaks over, or reads from.
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuOf, usageOf } from '../processes.mjs';
import { quantile, summary } from '../statistics.mjs';
import { shared } from './sizes.mjs';

const WORD_MS = 50;
/** Of so many sockets the client of one more never reads. */
const DEAF_OF = 20;
/** What they have yet to read: events of 26 kB, together twice what Linux buffers for a connection. */
const LOUD_EVENTS = 500;
const LOUD_METADATA = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`key ${n}`, 'x'.repeat(500)]));
/** They read nothing for so long, are then seen to be let go, and come again. The server gives them 34 s. */
const DEAF_MS = 40_000;
/** Clients that speak meanwhile, each after so many turns in a new session: how long one is plays no part. */
const SPEAKERS = 10;
const TURNS_OF_SESSION = 50;
/** Before, for comparison. */
const ALONE_MS = 45_000;

/** Collects when the model has sent which part of an answer, and when its reader had it. */
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

/** Milliseconds from the model's word to its reader's, with so many answers at once. */
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
          // Not all in the same millisecond.
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

/** Clients that hold a WebSocket each, and send their next message over it when the last one is answered. @returns their p99. */
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

/** Holds one WebSocket after the other that it never reads. @returns how each was closed. */
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
 * Memory with idle sockets and with deaf ones, while nobody speaks: what talk costs is another matter. And the p99 of those who speak,
 * without and with them.
 */
export async function sockets({ system, counts }) {
  const loud = await makeLoud(system);
  const ids = [];
  await shared(counts.sockets, async () => ids.push(await system.create()));
  // Their workflows are still starting.
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
  // It is awaited below, and may fail before.
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

/** How it was closed, which it learns when it begins to read: by 1013, or cut off after that; 0 when it was not. */
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
