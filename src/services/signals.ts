// Tells workflows what the store has accepted. A word that gets lost is said again by the sweep, so nobody waits for it.
import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type { ConfigureSignal, EndReason, MessageSignal } from '../../workflows/protocol.ts';
import type { SessionRow, Tables } from '../stores/schema.ts';
import type { Engine, EngineSession } from './engine.ts';

export type Signals = ReturnType<typeof createSignals>;

export const engineSession = (row: Pick<SessionRow, 'id' | 'account_id' | 'model'>): EngineSession => ({
  sessionId: row.id,
  accountId: row.account_id,
  model: row.model,
});

export interface SignalsDeps {
  engine: Engine;
  db: Kysely<Tables>;
  log: Logger;
  now: () => number;
}

export function createSignals({ engine, db, log, now }: SignalsDeps) {
  const tellLater = (sessionId: string, what: string) => (error: unknown) =>
    log.warn({ err: error, sessionId, what }, 'A workflow could not be told; the sweep will say it again');

  async function message(session: SessionRow, signal: MessageSignal): Promise<void> {
    await engine.message(engineSession(session), signal);
    // A message that has begun needs no mark: its status says it.
    await db
      .updateTable('messages')
      .set({ signalled_at: now() })
      .where('id', '=', signal.messageId)
      .where('status', '=', 'queued')
      .execute();
  }

  async function end(session: SessionRow, reason: EndReason): Promise<void> {
    await engine.end(engineSession(session), { reason });
    await db.updateTable('sessions').set({ end_signalled_at: now() }).where('id', '=', session.id).execute();
  }

  return {
    message,
    end,
    messageLater: (session: SessionRow, signal: MessageSignal): void => {
      message(session, signal).catch(tellLater(session.id, 'message'));
    },
    endLater: (session: SessionRow, reason: EndReason): void => {
      end(session, reason).catch(tellLater(session.id, 'end'));
    },
    /** Lost, it costs the Temporal UI its newest model name until the next change: the store is what turns read. */
    configureLater: (session: SessionRow, signal: ConfigureSignal): void => {
      engine.configure(engineSession(session), signal).catch(tellLater(session.id, 'configure'));
    },
    startLater: (session: SessionRow): void => {
      engine.start(engineSession(session)).catch(tellLater(session.id, 'start'));
    },
  };
}
