// A support agent with a tool of its own: the model asks for a customer's orders, this program looks them up and submits them.
// Run: OPENCLAW_API_KEY=... node examples/support-agent.mjs 'Where is the order of customer cust_12345?'
// Without a model key the server's simulator asks for the orders, too, and says that it simulates.
// Nothing but Node is needed. OPENCLAW_BASE_URL names another server than the one on this machine.

const baseUrl = process.env.OPENCLAW_BASE_URL ?? 'http://127.0.0.1:8080';
const apiKey = process.env.OPENCLAW_API_KEY;
const question = process.argv[2] ?? 'Where is the order of customer cust_12345?';

const ORDERS = {
  cust_12345: [{ order: 'A-1007', item: 'Desk lamp', status: 'shipped', arrives: '2026-12-01' }],
};

const getOrders = {
  name: 'get_customer_orders',
  description: 'Retrieves the orders of a customer, newest first.',
  parameters: {
    type: 'object',
    properties: {
      customer_id: { type: 'string', description: 'The customer, such as cust_12345' },
      limit: { type: 'integer', minimum: 1, default: 10 },
    },
    required: ['customer_id'],
  },
  // Should this program be away for a day, the model is told so and answers without the orders.
  timeout_seconds: 86_400,
};

/** One line for a person, instead of a stack trace. */
function stop(reason) {
  console.error(reason);
  process.exit(1);
}

if (!apiKey) {
  stop('Set OPENCLAW_API_KEY to an API key: `npm start` writes the first one to .openclaw/admin.key.');
}

async function call(path, body) {
  const response = await fetch(`${baseUrl}/v1${path}`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${apiKey}`,
      'Content-Type': 'application/json',
      // A retry with the same key is answered as the first try was.
      'Idempotency-Key': crypto.randomUUID(),
    },
    body: JSON.stringify(body),
  }).catch(({ cause, message }) => {
    const reason = cause?.code ?? message;
    return stop(
      `No server answers at ${baseUrl} (${reason}). Start one with \`npm start\`, or set OPENCLAW_BASE_URL.`,
    );
  });
  const answer = await response.json().catch(() => undefined);
  if (!response.ok || answer === undefined) {
    stop(
      `${baseUrl} answered ${response.status}: ${answer?.error?.message ?? 'no JSON, so it is not OpenClaw'}`,
    );
  }
  return answer;
}

/** The tool itself: a look-up here, a call of your own systems in earnest. */
function run({ name, parameters }) {
  if (name !== getOrders.name) return { result: `There is no tool '${name}'`, is_error: true };
  return { result: (ORDERS[parameters.customer_id] ?? []).slice(0, parameters.limit) };
}

const session = await call('/sessions', {
  model: 'claude-sonnet-5-5',
  system_prompt: 'You are a helpful customer service assistant. Look orders up before you answer.',
  tools: [getOrders],
});
let message = await call(`/sessions/${session.id}/messages`, { content: question });
// The turn may want several tools, and further ones after their results. This program may be restarted in between:
// the calls and what is missing stay with the message.
while (message.status === 'requires_action') {
  const waiting = message.tool_calls.filter(({ status }) => status === 'awaiting_result');
  for (const { name, parameters } of waiting) console.log(`-> ${name} ${JSON.stringify(parameters)}`);
  const results = waiting.map((toolCall) => ({ tool_call_id: toolCall.id, ...run(toolCall) }));
  message = await call(`/sessions/${session.id}/tool-results`, { results, wait: true });
}
console.log(
  message.status === 'completed' ? message.content : `${message.status}: ${message.error?.message}`,
);
