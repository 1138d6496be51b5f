// What a turn's model calls go by: the session's settings as they were when it began. A change of them in a turn is for the next.
import type { SessionPatch, SessionRow } from '../stores/schema.ts';

type Settings = Pick<SessionRow, 'system_prompt' | 'tools' | 'turn_options'>;
type Held = Settings & { reply_id: string };

/** Of the turn under way; null while they are the session's own. */
function held({ turn_settings, open_reply_id }: SessionRow): Held | null {
  const kept: Held | null = turn_settings === null ? null : JSON.parse(turn_settings);
  return kept?.reply_id === open_reply_id ? kept : null;
}

const stored = (kept: Held): SessionPatch => ({ turn_settings: JSON.stringify(kept) });

/** Before a session's settings are changed: keeps what the turn under way has begun with. */
export function holdSettings(session: SessionRow): SessionPatch {
  const { open_reply_id: reply_id, system_prompt, tools, turn_options } = session;
  if (reply_id === null || held(session)) return {};
  return stored({ reply_id, system_prompt, tools, turn_options });
}

/** The session as the turn of its open reply sees it. */
export function asItsTurnSees(session: SessionRow): SessionRow {
  const kept = held(session);
  if (!kept) return session;
  const { system_prompt, tools, turn_options } = kept;
  return { ...session, system_prompt, tools, turn_options };
}

/** Tools that are added and removed one by one are so from the next model call on, also in this turn. */
export function changeHeldTools(session: SessionRow, change: (tools: string) => string): SessionPatch {
  const kept = held(session);
  return kept ? stored({ ...kept, tools: change(kept.tools) }) : {};
}
