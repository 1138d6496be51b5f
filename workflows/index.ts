// The workflows that a worker registers. Each workflow's type is its function name.
export { session } from './session.ts';
export { webhookEndpoint } from './webhook-endpoint.ts';
