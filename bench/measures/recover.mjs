// Measures recovery: kill -9 during a model call, an immediate restart, and the time to the reply beyond the model's own time.
import { setTimeout as sleep } from 'node:timers/promises';

const MODEL_MS = 3_000;
const KILL_AFTER_MS = 1_000;
const LOST_AFTER_MS = 60_000;

async function answerTo(system, id, content) {
  const deadline = performance.now() + LOST_AFTER_MS;
  while (performance.now() < deadline) {
    const messages = await system.history(id).catch(() => []);
    const answer = messages.find(
      (each) => each.role === 'assistant' && each.status === 'completed' && each.content.includes(content),
    );
    if (answer) return messages;
    await sleep(10);
  }
  throw new Error('The answer was lost');
}

/** One kill. The two times count from the ready line and from the kill to the reply, without the model's own time. */
export async function recover({ system }) {
  const id = await system.create();
  await system.send(id, 'first');
  const content = `kill me [[ms=${MODEL_MS}]]`;
  system.send(id, content).catch(() => undefined);
  await sleep(KILL_AFTER_MS);
  const killedAt = performance.now();
  await system.kill();
  await system.start();
  const readyAt = performance.now();
  const messages = await answerTo(system, id, content);
  const answeredAt = performance.now();
  if (messages.length !== 4) throw new Error(`${messages.length} messages instead of 4`);
  return {
    afterReadyMs: Math.max(0, answeredAt - readyAt - MODEL_MS),
    afterKillMs: answeredAt - killedAt - MODEL_MS,
  };
}
