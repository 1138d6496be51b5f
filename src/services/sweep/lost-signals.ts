// What was accepted and never said to its workflow is said again. Twice is harmless: rows decide what it means.
import type { MessageRow, SessionRow, ToolCallRow } from '../../stores/schema.ts';
import { messageSignal, type Signals } from '../signals.ts';
import { type Look, lostBefore, type SweepRows } from './look.ts';

export interface LostSignalsDeps {
  rows: SweepRows;
  signals: Signals;
  showPreviews: boolean;
  now: () => number;
  isOnlyWorker: boolean;
}

export const lostMessages = (deps: LostSignalsDeps): Look<{ session: SessionRow; user: MessageRow }> => ({
  find: (everything) => deps.rows.unsignalledMessages(lostBefore(everything, deps)),
  help: ({ session, user }) => deps.signals.message(session, messageSignal(session, user, deps.showPreviews)),
});

export const lostEnds = (deps: LostSignalsDeps): Look<SessionRow> => ({
  find: (everything) => deps.rows.unsignalledEnds(lostBefore(everything, deps)),
  async help(session) {
    if (session.ended_reason) await deps.signals.end(session, session.ended_reason);
  },
});

export const lostResults = (deps: LostSignalsDeps): Look<{ session: SessionRow; call: ToolCallRow }> => ({
  find: (everything) => deps.rows.unsignalledResults(lostBefore(everything, deps)),
  help: ({ session, call }) => deps.signals.toolResult(session, { callId: call.id }),
});
