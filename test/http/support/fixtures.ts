// Resources as the services would give them.
import type { SessionEvent } from '../../../src/contracts/events.ts';
import type { Message } from '../../../src/contracts/messages.ts';
import type { Session } from '../../../src/contracts/sessions.ts';

const USAGE = {
  input_tokens: 0,
  output_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  total_tokens: 0,
  cost_usd: '0',
};

let counter = 0;
/** An id of the right shape, different on every call. */
export const makeId = (prefix: string): string => `${prefix}_${String(++counter).padStart(24, '0')}`;

export const makeSession = (changes: Partial<Session> = {}): Session => ({
  id: makeId('sess'),
  title: null,
  model: 'claude-haiku',
  created_at: '2026-02-20T10:30:00.000Z',
  updated_at: '2026-02-20T10:30:00.000Z',
  status: 'active',
  ended_at: null,
  ended_reason: null,
  tools: [],
  metadata: {},
  memory: {},
  on_busy: 'queue',
  max_tokens: null,
  temperature: null,
  thinking: null,
  expires_after_seconds: null,
  expires_at: null,
  token_count: 0,
  usage: USAGE,
  message_count: 0,
  parent_session_id: null,
  warnings: [],
  system_prompt: null,
  truncated: false,
  messages: [],
  ...changes,
});

export const makeMessage = (changes: Partial<Message> = {}): Message => ({
  id: makeId('msg'),
  session_id: makeId('sess'),
  parent_id: null,
  role: 'assistant',
  content: 'Hello',
  content_blocks: [{ type: 'text', text: 'Hello' }],
  status: 'completed',
  stop_reason: 'end_turn',
  model: 'claude-haiku-4-5',
  usage: USAGE,
  tool_calls: [],
  waiting_for: [],
  files: [],
  error: null,
  created_at: '2026-02-20T10:30:00.000Z',
  completed_at: '2026-02-20T10:30:01.000Z',
  ...changes,
});

export const makeEvent = (changes: Partial<SessionEvent> & Pick<SessionEvent, 'type'>): SessionEvent => ({
  id: makeId('evt'),
  seq: 1,
  created_at: '2026-02-20T10:30:00.000Z',
  session_id: 'sess_000000000000000000000001',
  message_id: 'msg_000000000000000000000001',
  data: {},
  ...changes,
});

/** The events of a reply that streams the pieces one after the other. */
export function replyEvents(pieces: readonly string[], message: Message): SessionEvent[] {
  const base = { session_id: message.session_id, message_id: message.id };
  const events = [
    makeEvent({ ...base, type: 'message.content_started', data: { step: 1 } }),
    ...pieces.map((text) => makeEvent({ ...base, type: 'message.delta', data: { step: 1, text } })),
    makeEvent({ ...base, type: 'message.content_ended', data: { step: 1 } }),
    makeEvent({ ...base, type: 'message.completed', data: { message } }),
  ];
  return events.map((event, index) => ({ ...event, seq: index + 1 }));
}
