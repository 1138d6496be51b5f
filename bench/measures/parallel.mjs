// Turns per second and CPU per turn with many sessions at once. The client and the model double share the same cores.
import { cpuOf } from '../processes.mjs';
import { summary } from '../statistics.mjs';

const TURNS_PER_SESSION = 10;

async function talk(system, untilMs, latencies) {
  let id;
  let turns = 0;
  do {
    if (turns % TURNS_PER_SESSION === 0) id = await system.create();
    const start = performance.now();
    await system.send(id, `turn ${turns}`);
    latencies.push(performance.now() - start);
    turns += 1;
  } while (performance.now() < untilMs);
}

/** For `durationMs`, every session sends its next message as soon as it has the previous reply. */
export async function run(system, sessions, durationMs) {
  const roots = system.roots();
  const latencies = [];
  const before = cpuOf(roots);
  const start = performance.now();
  await Promise.all(Array.from({ length: sessions }, () => talk(system, start + durationMs, latencies)));
  const seconds = (performance.now() - start) / 1_000;
  const cpu = cpuOf(roots).map((ms, index) => (ms - before[index]) / latencies.length);
  return { seconds, latencies, cpu };
}

export const parallel = (sessions) =>
  async function parallelTurns({ system, counts }) {
    const { seconds, latencies, cpu } = await run(system, sessions, counts.parallelMs);
    return {
      perSecond: latencies.length / seconds,
      p50: summary(latencies).p50,
      cpuMs: cpu.reduce((sum, ms) => sum + ms, 0),
      // The first root is the system's own process. OpenClaw's second root is the Temporal server.
      ...(system.name === 'openclaw' ? { ownCpuMs: cpu[0], temporalCpuMs: cpu[1] } : {}),
    };
  };
