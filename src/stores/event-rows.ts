// Converts rows of events to API events.
import { toTimestamp } from '../contracts/common.ts';
import type { SessionEvent } from '../contracts/events.ts';
import { parseJson } from '../contracts/json.ts';
import type { EventRow } from './schema.ts';

export const toEvent = (row: EventRow): SessionEvent => ({
  id: row.id,
  seq: Number(row.seq),
  type: row.type,
  created_at: toTimestamp(Number(row.created_at)),
  session_id: row.session_id,
  message_id: row.message_id,
  data: parseJson(row.data),
});
