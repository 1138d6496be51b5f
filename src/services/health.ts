// Readiness of this process: the state of each part, within a second.
import { type Kysely, sql } from 'kysely';
import type { Check, Readiness } from '../contracts/health.ts';
import type { Tables } from '../stores/schema.ts';

export interface PartHealth {
  ok: boolean;
  error: string | null;
}

export interface HealthDeps {
  db: Kysely<Tables>;
  temporal: { check(): Promise<PartHealth> };
  /** Reports whether any worker serves sessions, in this process or another. */
  workers: () => Promise<PartHealth>;
}

const checkOf = ({ ok, error }: PartHealth): Check => ({ status: ok ? 'ok' : 'failed', error });

/** The probe responds within a second, even when a part doesn't. */
const STORE_TIMEOUT_MS = 900;

function late(): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(new Error(`no answer within ${STORE_TIMEOUT_MS} ms`));
    setTimeout(fail, STORE_TIMEOUT_MS).unref();
  });
}

export type HealthService = ReturnType<typeof createHealth>;

export function createHealth({ db, temporal, workers }: HealthDeps) {
  async function store(): Promise<PartHealth> {
    try {
      await Promise.race([sql`select 1`.execute(db), late()]);
      return { ok: true, error: null };
    } catch (error) {
      return { ok: false, error: error instanceof Error ? error.message : String(error) };
    }
  }

  return {
    async readiness(): Promise<Readiness> {
      const [engine, rows, polling] = await Promise.all([temporal.check(), store(), workers()]);
      const parts = { temporal: engine, store: rows, workers: polling };
      const ok = Object.values(parts).every((part) => part.ok);
      const checks = {
        temporal: checkOf(parts.temporal),
        store: checkOf(parts.store),
        workers: checkOf(parts.workers),
      };
      return { status: ok ? 'ok' : 'failed', checks };
    },
  };
}
