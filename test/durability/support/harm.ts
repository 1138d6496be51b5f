// What is done to whom, and when: a schedule that comes out of the seed alone.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Installation } from './installation.ts';
import type { Ledger, Point } from './ledger.ts';
import type { Random } from './random.ts';

/** Every 1 to 5 seconds. */
const CALM_MS_MIN = 1_000;
const CALM_MS_MAX = 5_000;
/** After the victims are started again, in the middle of their start. */
const RESTART_MS_MAX = 2_000;
const PAUSE_MS_MIN = 300;
const PAUSE_MS_MAX = 3_000;
/** A moment that does not come (nobody streams just now) is not waited for longer. */
const POINT_MS_MAX = 2_000;

export interface Harm {
  /** Counted from the moment when everything serves again. */
  afterMs: number;
  /** Then at the next such moment, or right away. */
  at: Point | 'now';
  victims: string[];
  how: 'kill' | 'pause';
  pauseMs: number;
  /** The same victims once more, so long after they are started again. */
  againAfterMs: number | null;
}

export interface Fault {
  from: number;
  until: number;
  what: string;
  /** How often its victims died or stood still, however many at once: each time may cost a turn one model call. */
  times: number;
}

/** Half of the harms hit one part, the others several or all; one in four stops instead of killing. */
export function drawHarm(random: Random, parts: readonly string[]): Harm {
  const all = random.next() < 0.25;
  const one = random.pick(parts);
  const how = random.next() < 0.2 ? 'pause' : 'kill';
  const again = random.next() < 0.25;
  return {
    afterMs: random.between(CALM_MS_MIN, CALM_MS_MAX),
    at: random.pick(['now', 'now', 'acknowledged', 'streaming', 'answered'] as const),
    victims: all ? [...parts] : [one],
    how,
    pauseMs: random.between(PAUSE_MS_MIN, PAUSE_MS_MAX),
    againAfterMs: again && how === 'kill' ? random.between(0, RESTART_MS_MAX) : null,
  };
}

const describe = ({ victims, how, at, againAfterMs }: Harm): string =>
  `${how} ${victims.join(' and ')}${at === 'now' ? '' : ` (${at})`}${againAfterMs === null ? '' : ', twice'}`;

export interface HarmDeps {
  installation: Installation;
  ledger: Ledger;
  random: Random;
  /** When no further harm is to begin. */
  until: number;
}

/** Harms until the time is over. @returns what was done, with the times until everything served again. */
export async function harmUntil({ installation, ledger, random, until }: HarmDeps): Promise<Fault[]> {
  const faults: Fault[] = [];
  const names = installation.parts.map(({ name }) => name);

  async function kill(victims: string[]): Promise<void> {
    await Promise.all(installation.partsNamed(victims).map((part) => part.kill()));
  }

  async function pause(victims: string[], pauseMs: number): Promise<void> {
    const parts = installation.partsNamed(victims);
    for (const part of parts) part.signal('SIGSTOP');
    await sleep(pauseMs);
    for (const part of parts) part.signal('SIGCONT');
  }

  async function revive(victims: string[], againAfterMs: number | null): Promise<void> {
    const back = () => Promise.all(installation.partsNamed(victims).map((part) => part.revive()));
    if (againAfterMs !== null) {
      // Killed in the middle of its start, it need not come up at all.
      const first = back().catch(() => undefined);
      await sleep(againAfterMs);
      await kill(victims);
      await first;
    }
    await back();
  }

  async function doHarm(harm: Harm): Promise<void> {
    const { victims } = harm;
    if (harm.how === 'pause') await pause(victims, harm.pauseMs);
    else {
      await kill(victims);
      await revive(victims, harm.againAfterMs);
    }
    await installation.untilReady();
  }

  for (;;) {
    const harm = drawHarm(random, names);
    if (Date.now() + harm.afterMs > until) return faults;
    await sleep(harm.afterMs);
    if (harm.at !== 'now') await Promise.race([ledger.next(harm.at), sleep(POINT_MS_MAX)]);
    const from = Date.now();
    await doHarm(harm);
    const times = harm.againAfterMs === null ? 1 : 2;
    faults.push({ from, until: Date.now(), what: describe(harm), times });
  }
}
