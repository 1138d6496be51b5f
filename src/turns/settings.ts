// The settings of a turn's model calls: the session's settings from the turn's start. A change during a turn applies to
// the next turn.
import type { SessionPatch, SessionRow } from '../stores/schema.ts';

type Settings = Pick<SessionRow, 'system_prompt' | 'tools' | 'turn_options'>;
type Held = Settings & { reply_id: string };

/** The settings kept for the current turn. Null while they equal the session's own. */
function held({ turn_settings, open_reply_id }: SessionRow): Held | null {
  const kept: Held | null = turn_settings === null ? null : JSON.parse(turn_settings);
  return kept?.reply_id === open_reply_id ? kept : null;
}

const stored = (kept: Held): SessionPatch => ({ turn_settings: JSON.stringify(kept) });

/** Before a settings change: keeps the settings that the current turn began with. */
export function holdSettings(session: SessionRow): SessionPatch {
  const { open_reply_id: reply_id, system_prompt, tools, turn_options } = session;
  if (reply_id === null || held(session)) return {};
  return stored({ reply_id, system_prompt, tools, turn_options });
}

/** The session with the settings of its open turn. */
export function asItsTurnSees(session: SessionRow): SessionRow {
  const kept = held(session);
  if (!kept) return session;
  const { system_prompt, tools, turn_options } = kept;
  return { ...session, system_prompt, tools, turn_options };
}

/** Adding or removing a single tool also affects the current turn, from the next model call. */
export function changeHeldTools(session: SessionRow, change: (tools: string) => string): SessionPatch {
  const kept = held(session);
  return kept ? stored({ ...kept, tools: change(kept.tools) }) : {};
}
