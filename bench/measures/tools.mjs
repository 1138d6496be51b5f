// Measures tool calls: the time between two model requests, and the cost of sessions that wait for a result.
import { setTimeout as sleep } from 'node:timers/promises';
import { summary } from '../statistics.mjs';
import { memoryOf, shared } from './sizes.mjs';

const ROUND_TRIPS_PER_SESSION = 10;
const WARM_UP = 5;
const POLL_MS = 20;

const LOOK_UP = {
  name: 'look_up',
  description: 'Looks something up',
  parameters: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
};
const RESULT = 'found';

/** A turn whose client sends the result immediately and waits for the end. */
async function clientTurn(system, id) {
  const reply = await system.ask(id, 'use tool look_up {"key":"a"}');
  return system.answer(id, { tool_call_id: reply.waiting_for[0], result: RESULT, wait: true });
}

const calculatorTurn = (system, id) => system.ask(id, 'use tool calculator {"expression":"2^70"}');

/** Milliseconds from the end of the reply with a tool call to the request with its result. */
const roundTrip = (tool, turn) =>
  async function toolRoundTrip({ system, double, counts }) {
    const times = [];
    let id;
    for (let index = -WARM_UP; index < counts.roundTrips; index += 1) {
      if (id === undefined || index % ROUND_TRIPS_PER_SESSION === 0)
        id = await system.create({ tools: [tool] });
      const reply = await turn(system, id);
      const [call] = reply.tool_calls;
      if (reply.status !== 'completed' || call?.is_error)
        throw new Error(`The turn ended as ${reply.status}`);
      if (index >= 0) times.push(double.tools.roundTripMs);
    }
    const { min, p50, p95 } = summary(times);
    return { min, p50, p95 };
  };

export const customTool = roundTrip(LOOK_UP, clientTurn);
export const calculator = roundTrip('calculator', calculatorTurn);

/** Memory of sessions that wait for a result. Then the oldest waiting sessions get their results and continue. */
export async function paused({ system, counts }) {
  const waiting = [];
  const memory = await memoryOf({ system, counts }, counts.paused, async () => {
    const id = await system.create({ tools: [LOOK_UP] });
    const reply = await system.ask(id, 'use tool look_up {"key":"a"}');
    if (reply.status !== 'requires_action') throw new Error(`The turn is ${reply.status}`);
    waiting.push({ id, reply });
  });
  const oldest = waiting.slice(0, counts.paused);
  const start = performance.now();
  await shared(oldest.length, (index) => {
    const { id, reply } = oldest[index];
    return system.answer(id, { tool_call_id: reply.waiting_for[0], result: RESULT });
  });
  const takenMs = performance.now() - start;
  await shared(oldest.length, (index) => untilCompleted(system, oldest[index]));
  return { ...memory, takenMs, continuedMs: performance.now() - start };
}

const RESULT_BYTES = 100 * 1024;

/** KiB of events from a turn whose results of 100 KiB come one by one, and from a turn with twice as many. */
export async function growth({ system, counts }) {
  const kibOf = async (count) => {
    const id = await system.create({ tools: [LOOK_UP] });
    const reply = await system.ask(id, `use tool look_up {"key":"a"} [[calls=${count}]]`);
    for (const tool_call_id of reply.waiting_for)
      await system.answer(id, { tool_call_id, result: 'r'.repeat(RESULT_BYTES) });
    await untilCompleted(system, { id, reply });
    return (await system.logBytes(id)) / 1024;
  };
  const onceKib = await kibOf(counts.results);
  const twiceKib = await kibOf(2 * counts.results);
  return { onceKib, twiceKib, ratio: twiceKib / onceKib };
}

async function untilCompleted(system, { id, reply }) {
  while ((await system.message(id, reply.id)).status !== 'completed') await sleep(POLL_MS);
}
