// Measures costs beyond a single turn: memory of idle sessions, the cost of a turn in an old conversation, bytes on disk.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuOf, usageOf } from '../processes.mjs';
import { median } from '../statistics.mjs';
import { direct } from './turn.mjs';

const CLIENTS = 8;

/** `CLIENTS` clients share `count` pieces of work. */
export async function shared(count, work) {
  let next = 0;
  const client = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

/** Memory before, with `count` sessions, and with twice as many. One-time growth of the heap shows in the first step only. */
export async function memoryOf({ system, counts }, count, add) {
  const addSessions = async (more) => {
    await shared(more, add);
    // Idle time lets the processes collect garbage and write caches.
    await sleep(counts.settleMs);
    return usageOf(system.roots()).memoryMiB;
  };
  const beforeMiB = await addSessions(count / 10);
  const onceMiB = await addSessions(count);
  const twiceMiB = await addSessions(count);
  return { beforeMiB, onceMiB, twiceMiB, kibPerFurtherSession: ((twiceMiB - onceMiB) * 1024) / count };
}

/** Idle sessions of one turn each. */
export const idle = ({ system, counts }) =>
  memoryOf({ system, counts }, counts.idle, async () => system.send(await system.create(), 'remember me'));

function bytesIn(directory) {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true });
  return files
    .filter((file) => file.isFile())
    .reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
}

/** Bytes per turn in the data directory, including Temporal's history. */
export async function disk({ system, counts }) {
  const id = await system.create();
  await system.send(id, 'first');
  const before = bytesIn(system.directory);
  for (let index = 0; index < counts.diskTurns; index += 1) await system.send(id, `turn ${index}`);
  return { kibPerTurn: (bytesIn(system.directory) - before) / counts.diskTurns / 1024 };
}

/** Median cost of some turns at the conversation's current length, compared with direct calls with the same history. */
async function costHere({ system, double, counts }, id, history) {
  const added = [];
  const before = cpuOf(system.roots());
  for (let index = 0; index < counts.ageSamples; index += 1) {
    const content = `sample ${index}`;
    history.push({ role: 'user', content });
    const start = performance.now();
    await direct(double.url, history);
    const middle = performance.now();
    const answer = await system.send(id, content);
    added.push(performance.now() - middle - (middle - start));
    history.push({ role: 'assistant', content: answer });
  }
  const cpu = cpuOf(system.roots()).reduce((sum, ms, index) => sum + ms - before[index], 0);
  return { addedMs: median(added), cpuMs: cpu / counts.ageSamples };
}

/** One session grows. Its turns are measured at message 10 and again when it is old. */
export async function age(context) {
  const { system, counts } = context;
  const id = await system.create();
  const history = [];
  const grow = async (messages) => {
    while (history.length < messages) {
      const content = `turn ${history.length}`;
      history.push({ role: 'user', content }, { role: 'assistant', content: await system.send(id, content) });
    }
  };
  await grow(10);
  const young = await costHere(context, id, history);
  await grow(counts.age);
  const old = await costHere(context, id, history);
  return {
    youngAddedMs: young.addedMs,
    oldAddedMs: old.addedMs,
    latencyRatio: old.addedMs / young.addedMs,
    youngCpuMs: young.cpuMs,
    oldCpuMs: old.cpuMs,
    cpuRatio: old.cpuMs / young.cpuMs,
  };
}
