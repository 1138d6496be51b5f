// What the worker registers; the workflow's type is its function's name.
export { session } from './session.ts';
export { webhookEndpoint } from './webhook-endpoint.ts';
