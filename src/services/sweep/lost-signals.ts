// What was accepted and never said to its workflow is said again. Twice is harmless: rows decide what it means.
import type { MessageRow, SessionRow } from '../../stores/schema.ts';
import { messageSignal, type Signals } from '../signals.ts';
import { LOST_AFTER_MS, type Look, type SweepRows } from './look.ts';

export interface LostSignalsDeps {
  rows: SweepRows;
  signals: Signals;
  showPreviews: boolean;
  now: () => number;
}

export const lostMessages = ({
  rows,
  signals,
  showPreviews,
  now,
}: LostSignalsDeps): Look<{ session: SessionRow; user: MessageRow }> => ({
  find: () => rows.unsignalledMessages(now() - LOST_AFTER_MS),
  help: ({ session, user }) => signals.message(session, messageSignal(session, user, showPreviews)),
});

export const lostEnds = ({ rows, signals, now }: LostSignalsDeps): Look<SessionRow> => ({
  find: () => rows.unsignalledEnds(now() - LOST_AFTER_MS),
  async help(session) {
    if (session.ended_reason) await signals.end(session, session.ended_reason);
  },
});
