// Examples for the documentation of the main calls. A test checks each against its schema.
import type { Session } from '../contracts/sessions.ts';

const USAGE = {
  input_tokens: 812,
  output_tokens: 64,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  total_tokens: 876,
  cost_usd: '0.0034',
};

const SESSION_ID = 'sess_4kQ2ZtYw8mN1cR7xVb3LpD9s';

export const CREATE_SESSION = {
  model: 'claude-sonnet-4-20250514',
  system_prompt: 'You are a helpful customer service assistant.',
  tools: ['web_search', 'calculator'],
  metadata: { customer_id: 'cust_12345', department: 'support' },
};

export const SESSION: Session = {
  id: SESSION_ID,
  title: null,
  model: 'claude-sonnet-4-20250514',
  created_at: '2026-02-20T10:30:00.000Z',
  updated_at: '2026-02-20T10:30:00.000Z',
  status: 'active',
  ended_at: null,
  ended_reason: null,
  tools: ['web_search', 'calculator'],
  metadata: { customer_id: 'cust_12345', department: 'support' },
  memory: {},
  on_busy: 'queue',
  max_tokens: null,
  temperature: null,
  thinking: null,
  expires_after_seconds: null,
  expires_at: null,
  token_count: 0,
  usage: { ...USAGE, input_tokens: 0, output_tokens: 0, total_tokens: 0, cost_usd: '0' },
  message_count: 0,
  parent_session_id: null,
  warnings: [],
  system_prompt: 'You are a helpful customer service assistant.',
  truncated: false,
  messages: [],
};

export const CREATE_MESSAGE = { content: 'What are the key features of your product?' };

export const MESSAGE = {
  id: 'msg_9sLpD3vbXR7c1Nm8wYtZ2Qk4',
  session_id: SESSION_ID,
  parent_id: 'msg_1cR7xVb3LpD9s4kQ2ZtYw8mN',
  role: 'assistant',
  content: 'Durable conversations, tools and webhooks.',
  content_blocks: [{ type: 'text', text: 'Durable conversations, tools and webhooks.' }],
  status: 'completed',
  stop_reason: 'end_turn',
  model: 'claude-sonnet-4-5',
  usage: USAGE,
  tool_calls: [],
  waiting_for: [],
  files: [],
  error: null,
  created_at: '2026-02-20T10:30:01.000Z',
  completed_at: '2026-02-20T10:30:04.000Z',
};

export const CREATE_API_KEY = { name: 'Support dashboard', level: 'read-only' };

export const CREATED_API_KEY = {
  id: 'key_Zt8mYw4kQ21cNR7xVb3LpD9s',
  name: 'Support dashboard',
  level: 'read-only',
  prefix: 'oclaw_live_4kQ2',
  created_at: '2026-02-20T10:30:00.000Z',
  expires_at: null,
  last_used_at: null,
  revoked_at: null,
  key: 'oclaw_live_your_key_here',
};

export const ERROR = {
  error: {
    code: 'invalid_request',
    message: "The 'model' field is required",
    param: 'model',
    type: 'validation_error',
  },
};

/** One event, as the three fields of its frame. */
export const STREAM_EVENT = {
  id: '18',
  event: 'content_delta',
  data:
    '{"id":"evt_7xVb3LpD9s4kQ2ZtYw8mN1cR","seq":18,"type":"content_delta",' +
    '"created_at":"2026-02-20T10:30:02.000Z","session_id":"sess_4kQ2ZtYw8mN1cR7xVb3LpD9s",' +
    '"message_id":"msg_9sLpD3vbXR7c1Nm8wYtZ2Qk4","step":1,"text":"Durable"}',
};

export const CREATE_TOOL = {
  name: 'get_customer_orders',
  description: 'Retrieves order history for a customer',
  parameters: {
    type: 'object',
    properties: {
      customer_id: { type: 'string', description: 'The unique customer identifier' },
      limit: { type: 'integer', description: 'Maximum number of orders to return', default: 10 },
    },
    required: ['customer_id'],
  },
};

export const SUBMIT_TOOL_RESULT = { tool_call_id: 'call_0123456789abcdefghijABCD', result: '[]' };

export const CREATE_CLIENT_TOKEN = {
  session_ids: [SESSION_ID],
  scopes: ['read', 'send'],
  expires_in_seconds: 300,
};

export const CLIENT_TOKEN = {
  token: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJrZXlfLi4uIn0.c2lnbmF0dXJl',
  expires_at: '2026-02-20T10:35:00.000Z',
};

export const CREATE_WEBHOOK = {
  url: 'https://your-app.com/webhooks/openclaw',
  events: ['message.completed', 'tool.called', 'session.ended'],
  secret: 'your_webhook_secret',
};

export const WEBHOOK_WITH_SECRET = {
  id: 'wh_LpD9s4kQ2ZtYw8mN1cR7xVb3',
  url: 'https://your-app.com/webhooks/openclaw',
  events: ['message.completed', 'tool.called', 'session.ended'],
  description: null,
  filter: null,
  status: 'enabled',
  disabled_reason: null,
  created_at: '2026-02-20T10:30:00.000Z',
  secret: 'your_webhook_secret',
};

export const REPLAY_DELIVERIES = { from: '2026-02-20T00:00:00Z', to: '2026-02-21T00:00:00Z' };
