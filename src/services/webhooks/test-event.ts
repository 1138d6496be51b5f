// A test event for a webhook: shaped like a real event, for a session that doesn't exist.
import { toTimestamp, type Usage } from '../../contracts/common.ts';
import { eventBody } from '../../contracts/event-body.ts';
import type { EventData, WebhookEventType } from '../../contracts/events.ts';
import type { Message, MessageStatus } from '../../contracts/messages.ts';
import type { SessionSummary } from '../../contracts/sessions.ts';
import type { ToolCall } from '../../contracts/tools.ts';
import { newId } from '../../ids.ts';
import type { DeliveryRow, WebhookRow } from '../../stores/schema.ts';

const NOBODYS = '0'.repeat(24);
const SESSION_ID = `sess_${NOBODYS}`;
const MESSAGE_ID = `msg_${NOBODYS}`;
const MODEL = 'claude-haiku';

const USAGE: Usage = {
  input_tokens: 12,
  output_tokens: 5,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  total_tokens: 17,
  cost_usd: '0.000037',
};

const session = (at: string, isEnded: boolean): SessionSummary => ({
  id: SESSION_ID,
  title: null,
  model: MODEL,
  created_at: at,
  updated_at: at,
  status: isEnded ? 'completed' : 'active',
  ended_at: isEnded ? at : null,
  ended_reason: isEnded ? 'completed' : null,
  tools: [],
  metadata: {},
  memory: {},
  on_busy: 'queue',
  max_tokens: null,
  temperature: null,
  thinking: null,
  expires_after_seconds: null,
  expires_at: null,
  token_count: USAGE.total_tokens,
  usage: USAGE,
  message_count: 2,
  parent_session_id: null,
  warnings: [],
});

const toolCall = (at: string, isDone: boolean): ToolCall => ({
  id: `call_${NOBODYS}`,
  name: 'get_customer_orders',
  type: 'custom',
  parameters: { customer_id: 'cust_12345' },
  status: isDone ? 'completed' : 'awaiting_result',
  result: isDone ? '[]' : null,
  is_error: false,
  session_id: SESSION_ID,
  message_id: MESSAGE_ID,
  effect_id: null,
  expires_at: null,
  created_at: at,
  completed_at: isDone ? at : null,
});

const ERROR = {
  code: 'model_unavailable',
  message: 'This is a test: nothing has failed',
  param: null,
  type: 'api_error',
};

const message = (at: string, status: MessageStatus): Message => ({
  id: MESSAGE_ID,
  session_id: SESSION_ID,
  parent_id: null,
  role: 'assistant',
  content: 'This is a test',
  content_blocks: [{ type: 'text', text: 'This is a test' }],
  status,
  stop_reason: status === 'completed' ? 'end_turn' : null,
  model: MODEL,
  usage: USAGE,
  tool_calls: status === 'requires_action' ? [toolCall(at, false)] : [],
  waiting_for: status === 'requires_action' ? [toolCall(at, false).id] : [],
  files: [],
  error: status === 'failed' ? ERROR : null,
  created_at: at,
  completed_at: status === 'in_progress' || status === 'requires_action' ? null : at,
});

const SAMPLES: { [T in WebhookEventType]: (at: string) => EventData<T> } = {
  'session.created': (at) => ({ session: session(at, false) }),
  'session.updated': (at) => ({ session: session(at, false) }),
  'session.ended': (at) => ({ session: session(at, true), reason: 'completed' }),
  'message.created': (at) => ({ message: message(at, 'in_progress') }),
  'message.requires_action': (at) => ({ message: message(at, 'requires_action') }),
  'message.completed': (at) => ({ message: message(at, 'completed') }),
  'message.interrupted': (at) => ({ message: message(at, 'interrupted') }),
  'message.failed': (at) => ({ message: message(at, 'failed') }),
  'tool.called': (at) => ({ tool_call: toolCall(at, false) }),
  'tool.completed': (at) => ({ tool_call: toolCall(at, true) }),
  'error.occurred': () => ({ error: ERROR }),
};

/** The body contains `"test": true`, so that receivers can skip the event. */
function bodyOf(type: WebhookEventType, eventId: string, now: number): string {
  const at = toTimestamp(now);
  const body = eventBody({
    id: eventId,
    seq: 1,
    type,
    created_at: at,
    session_id: SESSION_ID,
    message_id: type.startsWith('session.') ? null : MESSAGE_ID,
    data: SAMPLES[type](at),
  });
  return JSON.stringify({ ...body, test: true });
}

/** Twice the time that the sender waits for a response. A sender without a recorded outcome by then is dead. */
export const TEST_MS_MAX = 30_000;

/** A delivery that its creator sends immediately. If the creator dies, the endpoint's own sender takes over. */
export function testDelivery(webhook: WebhookRow, type: WebhookEventType, now: number): DeliveryRow {
  const eventId = newId('evt');
  return {
    id: newId('dlv'),
    webhook_id: webhook.id,
    account_id: webhook.account_id,
    session_id: null,
    event_id: eventId,
    event_type: type,
    seq: null,
    body: bodyOf(type, eventId, now),
    status: 'pending',
    attempts: '[]',
    attempt_count: 0,
    next_attempt_at: now + TEST_MS_MAX,
    owner: 'endpoint',
    lease_until: null,
    lease_by: null,
    created_at: now,
    completed_at: null,
  };
}
